"""From inflated blocks to pixels in place: predictors undone and one sample copied, in one pass."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from landloom.raster.kernel import kernel


@kernel
def restore_part(
    raw: NDArray[Any], sample: int, samples: int, y0: int, x0: int, out: NDArray[Any]
) -> None:
    """Undo horizontal differences of one sample and copy the part that begins at (y0, x0).

    Args:
        raw: A block as it was inflated, (row, column * samples): TIFF's predictor 2.
        sample: Which sample of a pixel, from 0.
        samples: Samples a pixel.
        y0: First row of the part.
        x0: First column of the part.
        out: Filled with the part, (y, x).
    """
    height, width = out.shape
    for y in range(height):
        row, target = raw[y0 + y], out[y]
        total = row.dtype.type(0)
        if samples == 1:
            # Two plain loops over views: with offsets in the index they take three times as long.
            for x in range(x0):
                total = row.dtype.type(total + row[x])
            rest = row[x0 : x0 + width]
            for x in range(width):
                total = row.dtype.type(total + rest[x])
                target[x] = total
        else:
            for x in range(x0 + width):
                total = row.dtype.type(total + row[x * samples + sample])
                if x >= x0:
                    target[x - x0] = total


@kernel
def restore_block(raw: NDArray[Any], samples: int) -> None:
    """Undo horizontal differences of all samples of a block (row, column * samples) in place."""
    height, width = raw.shape
    for y in range(height):
        row = raw[y]
        for place in range(samples, width):
            row[place] = row[place] + row[place - samples]


@kernel
def copy_part(
    pixels: NDArray[Any], sample: int, samples: int, y0: int, x0: int, out: NDArray[Any]
) -> None:
    """Copy the part of one sample that begins at (y0, x0), of a block without differences."""
    height, width = out.shape
    for y in range(height):
        row, target = pixels[y0 + y], out[y]
        if samples == 1:
            part = row[x0 : x0 + width]
            for x in range(width):
                target[x] = part[x]
        else:
            for x in range(width):
                target[x] = row[(x0 + x) * samples + sample]
