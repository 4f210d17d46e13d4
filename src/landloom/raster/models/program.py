"""The shape of an exported program: what it takes, what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landloom.errors import ModelRejected

if TYPE_CHECKING:
    from torch.export import ExportedProgram

AXES = 4
"""Batch, channel, y, x."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Sizes of the one input and the one output, (batch, channel, y, x); None is any size."""

    input: tuple[int | None, ...]
    output: tuple[int | None, ...]
    smallest_batch: int
    largest_batch: int | None

    def __str__(self) -> str:
        return f"{_text(self.input)} -> {_text(self.output)}"


def signature_of(name: str, program: ExportedProgram) -> Signature:
    """Read the sizes that were noted at export.

    Raises:
        ModelRejected: It does not take one tensor (B, C, H, W) and give one (B, K, H, W).
    """
    takes = set(program.graph_signature.user_inputs)
    inputs = [
        node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in takes
    ]
    gives = set(program.graph_signature.user_outputs)
    outputs = [node.meta.get("val") for node in program.graph.nodes if node.name in gives]
    if any(
        len(each) != 1 or len(getattr(each[0], "shape", ())) != AXES for each in (inputs, outputs)
    ):
        raise ModelRejected(
            f"Program {name!r} takes {len(inputs)} inputs and gives {len(outputs)} outputs of"
            f" shapes {[_shape(value) for value in inputs]} and"
            f" {[_shape(value) for value in outputs]}.",
            suggestion="It must take one tensor (batch, channel, y, x) and give one.",
        )
    smallest, largest = size_range(program, inputs[0].shape[0])
    return Signature(_shape(inputs[0]), _shape(outputs[0]), smallest, largest)


def size_range(program: ExportedProgram, size: Any) -> tuple[int, int | None]:
    """Return the least and the greatest value of a dimension as noted at export; None is open."""
    if isinstance(size, int):
        return size, size
    allowed = program.range_constraints.get(size.node.expr)
    if allowed is None:
        return 1, None
    try:
        return max(int(allowed.lower), 1), int(allowed.upper)
    except (TypeError, ValueError, OverflowError, AttributeError):  # an open end
        return 1, None


def _shape(value: Any) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in getattr(value, "shape", ()))


def _text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
