"""The whole way of a batch as one torch module: transforms, model, back to the patch's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from landloom.raster.models.archive import MODEL, TRANSFORMS, Archive
from landloom.raster.models.precision import is_half, widen


class Whole(torch.nn.Module):
    """Transforms, runs, and brings the output back to the size of the patch, in float32."""

    def __init__(self, transforms: Callable[..., Any] | None, model: Callable[..., Any]) -> None:
        super().__init__()
        self.transforms = transforms
        self.model = model

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return (B, K, y, x) of (B, C, y, x)."""
        found = batch if self.transforms is None else self.transforms(batch)
        found = self.model(found).float()
        if found.shape[2:] != batch.shape[2:]:
            found = torch.nn.functional.interpolate(
                found, size=batch.shape[2:], mode="bilinear", align_corners=False
            )
        assert isinstance(found, torch.Tensor)  # noqa: S101 - the parts are untyped
        return found


def assemble(archive: Archive, device: str) -> Whole:
    """Return an archive's parts in a row, on a device.

    Half-precision programs stay what they are on a GPU and are widened on a CPU.
    """
    parts: dict[str, Callable[..., Any]] = dict(archive.packages)
    for name, program in archive.programs.items():
        placed = program if device == "cpu" else move_to_device_pass(program, device)
        module = placed.module()
        if device == "cpu" and is_half(program):
            widen(module)
        parts[name] = module
    return Whole(parts.get(TRANSFORMS), parts[MODEL])
