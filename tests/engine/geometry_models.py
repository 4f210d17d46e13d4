"""A geometry model with a rule in place of weights, in the interface of the real ones.

Prompts are made of the words `red`, `green`, `blue` and `very`. A thing is a 4-connected area whose
channel of that colour is above 100 (200 with `very`); its score is the channel's greatest value
over 255. So what a run over a mosaic must find is known from the mosaic itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.export import Dim, export
from torch.export.pt2_archive._package import package_pt2

from landloom.raster.models.registry import ModelFile, sha256_of

COLOURS = ("red", "green", "blue")
LEVEL, VERY_LEVEL = 100.0, 200.0
WORDS = {"[PAD]": 0, "red": 1, "green": 2, "blue": 3, "very": 4}
TOKENIZER = json.dumps(
    {
        "normalizer": {"type": "Lowercase"},
        "model": {"type": "WordLevel", "vocab": WORDS},
        "padding": {"pad_id": 0},
    }
)
TOKENS = 4
SIDE = 16


class BlobFinder(torch.nn.Module):
    """(B, C, H, W) and (P, L) to masks, boxes and scores of up to `candidates` areas.

    Areas are found by squaring the matrix of neighbouring pixels until every path is one step, so
    patches are small: the matrix has side**4 entries.
    """

    near: torch.Tensor
    number: torch.Tensor

    def __init__(self, side: int = SIDE, candidates: int = 32, mask_every: int = 1) -> None:
        super().__init__()
        self.side, self.candidates, self.mask_every = side, candidates, mask_every
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        steps = (y.reshape(-1, 1) - y.reshape(1, -1)).abs() + (
            x.reshape(-1, 1) - x.reshape(1, -1)
        ).abs()
        self.register_buffer("near", (steps <= 1).float())
        self.register_buffer("number", torch.arange(side * side))

    def forward(
        self, image: torch.Tensor, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        wanted = torch.stack([(prompts == word).any(dim=1) for word in (1, 2, 3)], dim=1).float()
        level = LEVEL + (VERY_LEVEL - LEVEL) * (prompts == 4).any(dim=1).float()
        colour = torch.einsum("pc,bcn->bpn", wanted, image[:, :3].flatten(2))
        inside = colour > level[None, :, None]
        reach = self.near * (inside[..., None] & inside[..., None, :]).float()
        for _ in range(2 * (self.side - 1).bit_length()):
            reach = (reach @ reach).clamp(max=1.0)
        first = torch.where(reach > 0, self.number, self.side**2).amin(dim=3)
        seed = torch.where((first == self.number) & inside, self.side**2 - self.number, 0)
        chosen, place = torch.topk(seed, self.candidates, dim=2)
        places = place[..., None].expand(-1, -1, -1, self.side**2)
        areas = (reach.gather(2, places) > 0) & (chosen > 0)[..., None]
        scores = torch.where(areas, colour[:, :, None], 0.0).amax(dim=3) / 255.0
        areas = areas.unflatten(3, (self.side, self.side))
        masks = torch.where(areas, 10.0, -10.0)[..., :: self.mask_every, :: self.mask_every]
        return masks, self.boxes(areas), scores

    def boxes(self, areas: torch.Tensor) -> torch.Tensor:
        rows, columns = areas.any(dim=4), areas.any(dim=3)
        at = self.number[: self.side]
        y0, x0 = (torch.where(line, at, self.side).amin(dim=3) for line in (rows, columns))
        y1, x1 = (torch.where(line, at + 1, 0).amax(dim=3) for line in (rows, columns))
        return torch.stack((x0, y0, x1, y1), dim=3) / self.side


class BrightFinder(torch.nn.Module):
    """All pixels of a prompt's colour are one thing, whatever lies between them; at any size."""

    def forward(
        self, image: torch.Tensor, prompts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        height, width = image.shape[2:]
        wanted = torch.stack([(prompts == word).any(dim=1) for word in (1, 2, 3)], dim=1).float()
        level = LEVEL + (VERY_LEVEL - LEVEL) * (prompts == 4).any(dim=1).float()
        colour = torch.einsum("pc,bchw->bphw", wanted, image[:, :3])[:, :, None]
        inside = colour > level[None, :, None, None, None]
        scores = torch.where(inside, colour, 0.0).amax(dim=(3, 4)) / 255.0
        rows, columns = inside.any(dim=4), inside.any(dim=3)
        y, x = torch.arange(height), torch.arange(width)
        sides = (
            torch.where(columns, x, width).amin(dim=3) / width,
            torch.where(rows, y, height).amin(dim=3) / height,
            torch.where(columns, x + 1, 0).amax(dim=3) / width,
            torch.where(rows, y + 1, 0).amax(dim=3) / height,
        )
        return torch.where(inside, 10.0, -10.0), torch.stack(sides, dim=3), scores


def blob_finder(
    path: Path,
    *,
    side: int = SIDE,
    channels: int = 3,
    batch: int | None = None,
    prompts: int | None = None,
    tokenizer: str | None = TOKENIZER,
    transforms: torch.nn.Module | None = None,
    model: torch.nn.Module | None = None,
) -> ModelFile:
    """Write a geometry model's archive; None leaves batch and number of prompts open."""
    shapes: tuple[dict[int, Dim], dict[int, Dim]] = ({}, {})
    if batch is None:
        shapes[0][0] = Dim("batch", min=1, max=16)
    if prompts is None:
        shapes[1][0] = Dim("prompts", min=1, max=8)
    image = torch.rand(batch or 2, channels, side, side)
    programs = {}
    if transforms is not None:
        dynamic = ({0: shapes[0][0]},) if shapes[0] else None
        programs["transforms"] = export(transforms.eval(), (image,), dynamic_shapes=dynamic)
        image = transforms(image)
    ids = torch.ones(prompts or 3, TOKENS, dtype=torch.int64)
    finder = (model or BlobFinder()).eval()
    programs["model"] = export(finder, (image, ids), dynamic_shapes=shapes)
    extra = {} if tokenizer is None else {"tokenizer.json": tokenizer}
    package_pt2(path, exported_programs=programs, extra_files=extra)
    return ModelFile(path, sha256_of(path), path.name)


def areas(channel: NDArray[np.float32], level: float = LEVEL) -> list[NDArray[np.bool_]]:
    """Return the mask of each 4-connected area above a level, over a whole mosaic at once."""
    labels, count = ndimage.label(np.nan_to_num(channel) > level)
    return [labels == number for number in range(1, count + 1)]
