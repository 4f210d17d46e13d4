"""Build `fields.pt2`: a rule that draws field edges from two seasons of Sentinel-2 pixels.

It stands where a learned model would stand, so that the whole way from scenes to polygons can be
run, offline and on a laptop, with a result that means something. Nothing in it is learned: edges
are where the bands of either season change, fields are what is crop-like and smooth between them.

Input: (B, 8, 256, 256) float32, raw Sentinel-2 numbers (reflectance x 10000), bands B04 B03 B02 B08
of the planting season, then of the harvest season. Output: (B, 3, 256, 256) logits of
non_field_background, field, field_boundaries. A pixel's answer depends on the 16 px around
it: half the clip of its recipe, so that blended patches give what one pass over everything would.

    python samples/models/make_fields_model.py [OUT.pt2]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export.pt2_archive._package import package_pt2
from torch.nn import functional

HERE = Path(__file__).resolve().parent
PATCH = 256
BANDS = 8
LABELS = ("non_field_background", "field", "field_boundaries")
MAX_BATCH = 256

DIRECTIONS = 8
LINE_LENGTH = 11
"""Pixels along which a broken edge is completed."""


class ToReflectance(nn.Module):
    """Turn raw Sentinel-2 numbers into reflectance, 0 to 1.6."""

    def forward(self, raw: Tensor) -> Tensor:
        """Scale (B, 8, H, W) raw numbers; the processors stop at 16000."""
        return raw.clamp(0.0, 16000.0) / 10000.0


class FieldRule(nn.Module):
    """Tell fields, their edges and the rest apart, by arithmetic only."""

    lines: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("lines", _line_kernels())

    def forward(self, reflectance: Tensor) -> Tensor:
        """Return (B, 3, H, W) logits for (B, 8, H, W) reflectance."""
        # The square root evens out the noise of dark and bright pixels.
        tone = _padded(torch.sqrt(reflectance + 1e-4), 1)
        down = (tone[:, :, :-2] + 2.0 * tone[:, :, 1:-1] + tone[:, :, 2:]) / 4.0
        across = (tone[..., :-2] + 2.0 * tone[..., 1:-1] + tone[..., 2:]) / 4.0
        slope_x = (down[..., 2:] - down[..., :-2]) / 2.0
        slope_y = (across[:, :, 2:] - across[:, :, :-2]) / 2.0
        calm = (down[..., :-2] + 2.0 * down[..., 1:-1] + down[..., 2:]) / 4.0
        squares = (slope_x * slope_x + slope_y * slope_y).sum(dim=1, keepdim=True)
        change = torch.sqrt(squares + 1e-8)

        edge = self.edge(change)
        crop = _opened(self.crop(calm * calm, change), 9)
        boundary = torch.minimum(edge, crop + 1.5)
        # Opening cuts the neck where an edge has a gap, so that two fields stay two.
        field = _opened(torch.minimum(crop, 1.0 - edge), 3)
        return torch.cat((-crop, field, boundary), dim=1) * 3.0

    def edge(self, change: Tensor) -> Tensor:
        """Return (B, 1, H, W): above 0 on a line where the seasons' bands change.

        A line counts by how far it stands out from the land around it, so that the faint edge
        between two wheat fields is found as well as the shore of a lake.
        """
        contrast = torch.log1p(change / 0.016)
        ridge = contrast - _mean(contrast, 11)
        along = functional.conv2d(_padded(ridge, LINE_LENGTH // 2), self.lines)
        standing_out = along.amax(dim=1, keepdim=True) * 4.0 - 0.45
        edge = torch.minimum(standing_out, (change - 0.02) * 80.0)
        # A real edge goes on; what has no company within 3 px is texture.
        company = _mean(edge.clamp(0.0, 1.0), 7)
        return torch.minimum(edge, (company - 0.15) * 30.0)

    def crop(self, reflectance: Tensor, change: Tensor) -> Tensor:
        """Return (B, 1, H, W), -2 to 2: above 0 where the land looks farmed."""
        red, green, nir = reflectance[:, 0::4], reflectance[:, 1::4], reflectance[:, 3::4]
        ndvi = (nir - red) / (nir + red + 1e-4)
        lowest, highest = ndvi.amin(dim=1, keepdim=True), ndvi.amax(dim=1, keepdim=True)
        water = ((green - nir) / (green + nir + 1e-4)).amax(dim=1, keepdim=True) * 8.0
        rough = _mean(change, 9)
        trees = torch.minimum(
            (0.062 - green.amax(dim=1, keepdim=True)) / 0.010,
            (0.360 - nir.amin(dim=1, keepdim=True)) / 0.040,
        )
        trees = torch.minimum(trees, (lowest - 0.55) / 0.10)
        built = torch.minimum((0.62 - highest) / 0.08, (rough - 0.06) / 0.02)
        other = torch.maximum(torch.maximum(water, trees), built)
        return (-other).clamp(-2.0, 2.0)


def _line_kernels() -> Tensor:
    """Return (DIRECTIONS, 1, L, L): a soft line of length L through the middle, each sums to 1."""
    half = LINE_LENGTH // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    kernels = []
    for k in range(DIRECTIONS):
        angle = math.pi * k / DIRECTIONS
        off = x * math.sin(angle) - y * math.cos(angle)
        on = x * math.cos(angle) + y * math.sin(angle)
        kernel = torch.exp(-(off**2) / (2 * 0.5**2) - on**2 / (2 * 3.0**2))
        kernels.append(kernel / kernel.sum())
    return torch.stack(kernels).unsqueeze(1)


def _padded(image: Tensor, by: int) -> Tensor:
    return functional.pad(image, (by, by, by, by), mode="replicate")


def _mean(image: Tensor, size: int) -> Tensor:
    """Return the mean over size x size pixels, the image's rim repeated outward."""
    padded = _padded(image, size // 2)
    rows = _slid(padded, size, 2, torch.add)
    return _slid(rows, size, 3, torch.add) / (size * size)


def _opened(image: Tensor, size: int) -> Tensor:
    """Take away what is narrower than `size` px (odd) and leave the rest as it is."""
    return _highest(-_highest(-image, size), size)


def _highest(image: Tensor, size: int) -> Tensor:
    padded = _padded(image, size // 2)
    return _slid(_slid(padded, size, 2, torch.maximum), size, 3, torch.maximum)


def _slid(image: Tensor, size: int, axis: int, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Join each run of `size` values along `axis`; the axis becomes size - 1 shorter.

    Shifted slices, because torch's pooling on a CPU takes ten times as long; runs are doubled, so
    that a run of 9 takes four joins.
    """
    if size == 1:
        return image
    half = _slid(image, size // 2, axis, join)
    length = image.shape[axis] - size + 1
    joined = join(half.narrow(axis, 0, length), half.narrow(axis, size // 2, length))
    if size % 2 == 0:
        return joined
    return join(joined, image.narrow(axis, size - 1, length))


def build(out: Path) -> Path:
    """Export the rule and write it as a `.pt2` with the programs `model` and `transforms`."""
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    # Two patches, because a batch of one would be taken for a constant.
    example = torch.linspace(0.0, 4000.0, 2 * BANDS * PATCH * PATCH)
    example = example.reshape(2, BANDS, PATCH, PATCH)
    programs = {
        "model": torch.export.export(
            FieldRule().eval(), (ToReflectance()(example),), dynamic_shapes=({0: batch},)
        ),
        "transforms": torch.export.export(
            ToReflectance().eval(), (example,), dynamic_shapes=({0: batch},)
        ),
    }
    for program in programs.values():
        # The example and the stack traces would be stored: hundreds of times the rule itself.
        program.example_inputs = None
        for node in program.graph.nodes:
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn"):
                node.meta.pop(key, None)
    package_pt2(str(out), exported_programs=programs)
    return out


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "fields.pt2"
    print(f"{build(target)}: {target.stat().st_size} bytes")
