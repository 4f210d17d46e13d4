"""Half-precision programs on a CPU: computed in single precision.

CPUs without half-precision arithmetic run such convolutions one group at a time, hundreds of times
slower, and no more exactly. Widening weights and casts gives what the half-precision program
approximates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

HALVES = (torch.float16, torch.bfloat16)


def is_half(program: ExportedProgram) -> bool:
    """Return whether any weight was in half precision at export, whatever became of it since."""
    weights = (node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder")
    return any(getattr(weight, "dtype", None) in HALVES for weight in weights)


def widen(module: GraphModule) -> None:
    """Turn a module's half-precision weights, and its casts to half precision, to float32."""
    for part in module.modules():  # blocks under no_grad or autocast are modules of their own
        if isinstance(part, GraphModule):
            _widen_casts(part)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dtype in HALVES:
            tensor.data = tensor.data.float()


def _widen_casts(module: GraphModule) -> None:
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # noqa: SLF001 - its name
            module.graph.erase_node(node)  # it asserts the old type
            continue
        node.args = tuple(_widened(value) for value in node.args)
        node.kwargs = {name: _widened(value) for name, value in node.kwargs.items()}
    module.recompile()


def _widened(value: Any) -> Any:
    return torch.float32 if value in HALVES else value
