"""How many bytes a mosaic would read: the compressed blocks that its scenes have within the grid.

Blocks' sizes stand in the headers of the rasters. Where there are many rasters, the headers of a
sample are read, as many of each band, and scaled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from landloom.raster.grid import Window
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.read import Raster, RasterReader, RasterReadError
from landloom.raster.stac.scene import Asset
from landloom.raster.store.layout import crs_of

SAMPLE = 80
"""Headers that are read at most for one mosaic; remote ones take some tens of milliseconds."""

EDGE_POINTS = 33
"""Points along each side of the grid that are carried to a raster's CRS."""

NEIGHBOURS = 2
"""Pixels around a window that resampling looks at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mosaic would read."""

    bytes: int
    rasters: int
    """All rasters of its scenes."""
    headers: int
    """Those among them whose headers were read."""
    unknown: int
    """Those among these that are no plain GeoTIFF, or cannot be read: counted as the others are."""

    @property
    def note(self) -> str:
        """Say what the figure rests on."""
        said = f"bytes: of the blocks in the headers of {self.headers} of {self.rasters} rasters"
        if self.headers < self.rasters:
            said += ", scaled to all"
        if self.unknown:
            said += f"; {self.unknown} of them could not be read so and count like the others"
        return said


def bytes_to_read(plan: MosaicPlan, sample: int = SAMPLE) -> Reading:
    """Return how many bytes of its scenes a mosaic would read, at most.

    A scene whose mask leaves nothing of a tile is not read there, so the true figure may be less.

    Args:
        plan: The mosaic.
        sample: Headers to read at most.
    """
    strata = _strata(plan)
    share = max(1, sample // max(1, len(strata)))
    total = 0.0
    headers = unknown = rasters = 0
    with closing(RasterReader()) as reader:
        for assets in strata.values():
            chosen = _evenly(assets, share)
            found = _sizes(reader, chosen, plan.geobox)
            sizes = [size for size in found if size is not None]
            total += float(np.mean(sizes)) * len(assets) if sizes else 0.0
            rasters += len(assets)
            headers += len(chosen)
            unknown += len(found) - len(sizes)
    return Reading(round(total), rasters, headers, unknown)


def _strata(plan: MosaicPlan) -> dict[tuple[str, str], list[Asset]]:
    """Return the rasters by dataset and band, each file once."""
    strata: dict[tuple[str, str], dict[str, Asset]] = defaultdict(dict)
    for step in plan.tables:
        for table in step:
            for scene in table.scenes:
                for asset in scene.assets:
                    strata[table.dataset, asset.key].setdefault(asset.href, asset)
    return {name: list(assets.values()) for name, assets in strata.items()}


def _evenly[T](items: Sequence[T], count: int) -> list[T]:
    """Return so many items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _sizes(reader: RasterReader, assets: Sequence[Asset], geobox: GeoBox) -> list[int | None]:
    """Return the bytes of each raster's blocks within the grid; None where nobody knows."""
    opened = reader.open_many([asset.href for asset in assets])
    return [
        None if isinstance(raster, RasterReadError) else _size(raster, geobox) for raster in opened
    ]


def _size(raster: Raster, geobox: GeoBox) -> int | None:
    layout = raster.layout
    if layout is None:
        return None
    window = window_in(raster.transform, raster.crs, geobox).clipped(raster.extent)
    if window.empty:
        return 0
    size_y, size_x = layout.block_yx
    down, across = (
        -(-side // block) for side, block in zip(raster.shape_yx, layout.block_yx, strict=True)
    )
    rows = slice(window.y0 // size_y, -(-window.y1 // size_y))
    columns = slice(window.x0 // size_x, -(-window.x1 // size_x))
    # Files that keep their bands apart list one plane of blocks after the other: all are read.
    planes = layout.counts.reshape(-1, down, across)
    return int(planes[:, rows, columns].sum())


def window_in(transform: Affine, crs: str, geobox: GeoBox) -> Window:
    """Return the pixels of a raster that a grid touches; they may reach beyond the raster."""
    height, width = geobox.shape
    steps = np.linspace(0, 1, EDGE_POINTS)
    columns, rows = np.meshgrid(steps * width, steps * height)
    carry = Transformer.from_crs(crs_of(geobox), crs, always_xy=True).transform
    x, y = carry(*_applied(geobox.affine, columns.ravel(), rows.ravel()))
    px, py = _applied(~transform, x, y)
    inside = np.isfinite(px) & np.isfinite(py)
    if not inside.any():
        return Window(0, 0, 0, 0)
    low = np.floor([py[inside].min(), px[inside].min()]).astype(int) - NEIGHBOURS
    high = np.ceil([py[inside].max(), px[inside].max()]).astype(int) + NEIGHBOURS
    return Window(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _applied(
    transform: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f
