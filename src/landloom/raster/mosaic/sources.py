"""Sources: one band of all scenes over a piece of the output, as the compiled loops want it.

Asking comes before receiving: what was asked for travels while something else is computed. Sources
that are not on the output's grid are read as a window of their own grid, and resampled where they
are reduced; what our own loops do not know (see `regrid`) comes here on the output's grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landloom.raster.execute.hands import share
from landloom.raster.grid import Window
from landloom.raster.mosaic import tables
from landloom.raster.mosaic.placement import SourceMap, source_map
from landloom.raster.mosaic.raster import Part, Raster, RasterReadError
from landloom.raster.mosaic.read import RasterReader
from landloom.raster.mosaic.regrid import Regridded, shrinking
from landloom.raster.mosaic.resample import BILINEAR, CUBIC, NEAREST, REACH
from landloom.raster.mosaic.seam import BothEnds
from landloom.raster.mosaic.tables import Tables
from landloom.raster.mosaic.warp import OutputGrid, aligned_shift, coordinate_map
from landloom.raster.stac.scene import Asset
from landloom.wire.enums import ResamplingMethod

METHODS = {
    ResamplingMethod.NEAREST: NEAREST,
    ResamplingMethod.BILINEAR: BILINEAR,
    ResamplingMethod.CUBIC: CUBIC,
}
"""What our own loops know."""

SMOOTHED_BELOW = 0.95
"""Output pixels a source pixel below which GDAL widens its kernels, and we leave it to GDAL."""

NEAREST_BELOW = 0.5
"""The same for the nearest pixel, where reading would take more memory than the output does."""

SLACK = 4
"""Elements after the last source: a gather may look at, and not use, what lies behind it."""

type Failed = Callable[[int, Asset, RasterReadError], None]
"""Told of a source (its scene's number) that cannot be read; it may raise."""


class _Pixels(Protocol):
    """Pixels on their way."""

    def read_into(self, out: NDArray[Any]) -> None: ...


@dataclass(frozen=True)
class Source:
    """One scene's band on its way."""

    number: int
    """Of the scene: its bit among the masks."""
    asset: Asset
    raster: Raster
    part: Window
    """What is read of the raster; on the output's lattice where `nodes` is None."""
    nodes: SourceMap | None
    corner_yx: tuple[int, int]
    """Where nodes is None: the part's first pixel on the output's global lattice."""
    pixels: _Pixels


@dataclass(frozen=True)
class Stack:
    """The pixels of all sources."""

    pixels: NDArray[Any]
    tables: Tables

    @property
    def numbers(self) -> set[int]:
        """Return the scenes that are here."""
        return set(self.tables.sources[:, tables.BIT].tolist())

    @property
    def ends(self) -> NDArray[Any]:
        """Return the least and the greatest number of the pixels' type."""
        return np.array(_range(self.pixels.dtype)).astype(self.pixels.dtype)


class Piece:
    """A rectangle of the output: finds which source pixels it needs, asks for and receives them."""

    def __init__(
        self, reader: RasterReader, grid: OutputGrid, window: Window, method: ResamplingMethod
    ) -> None:
        """Prepare for a window in global pixels of the output's lattice."""
        self._reader = reader
        self._grid = grid
        self._window = window
        self._method = method
        self._nodes: dict[tuple[str, Affine, tuple[int, int]], SourceMap] = {}
        self._parts: dict[Any, Window] = {}

    def ask(self, wanted: Sequence[tuple[int, Asset]], failed: Failed) -> list[Source]:
        """Ask for the pixels of assets; those that have none here are not among the answers."""
        opened = self._reader.open_many([asset.href for _, asset in wanted])
        sources = []
        for (number, asset), raster in zip(wanted, opened, strict=True):
            if isinstance(raster, RasterReadError):
                failed(number, asset, raster)
                continue
            source = self._source(number, asset, raster)
            if source is not None:
                sources.append(source)
        return sources

    def receive(
        self,
        asked: Sequence[Source],
        origin_yx: tuple[int, int],
        failed: Failed,
        buffer: Callable[[int], NDArray[np.uint8]],
        *,
        classes: bool = False,
    ) -> Stack:
        """Return the pixels of what was asked for.

        Args:
            asked: What `ask` returned.
            origin_yx: Global pixel where the arrays begin that the stack is used with.
            failed: Told of what cannot be read; it is left out then.
            buffer: Returns an array of at least so many bytes, which the stack lies in.
            classes: Whether these are masks, which keep their numbers as they are.
        """
        kind = _class_dtype(asked) if classes else _dtype(asked)
        sizes = [source.part.shape_yx[0] * source.part.shape_yx[1] for source in asked]
        longest = max((source.part.shape_yx[1] for source in asked), default=0)
        total = sum(sizes) + longest + SLACK
        pixels = buffer(total * kind.itemsize)[: total * kind.itemsize].view(kind)

        def read(placed: tuple[Source, int]) -> RasterReadError | None:
            source, base = placed
            height, width = source.part.shape_yx
            try:
                source.pixels.read_into(pixels[base : base + height * width].reshape(height, width))
            except RasterReadError as error:
                return error
            return None

        placed = list(zip(asked, accumulate(sizes, initial=0), strict=False))
        here = []
        for (source, base), error in zip(placed, share(read, placed), strict=True):
            if error is not None:
                failed(source.number, source.asset, error)
            else:
                here.append((source, base))
        return self._stack(here, pixels, origin_yx)

    def _stack(
        self,
        here: Sequence[tuple[Source, int]],
        pixels: NDArray[Any],
        origin: tuple[int, int],
    ) -> Stack:
        known: dict[Any, int] = {}
        lattices: list[SourceMap | None] = []
        grids, table, values = [], [], []
        for source, base in here:
            key = (source.part, source.raster.shape_yx, id(source.nodes))
            if key not in known:
                known[key] = len(known)
                lattices.append(source.nodes)
                part = (source.part.y0, source.part.x0, *source.part.shape_yx)
                grids.append((*part, *source.raster.shape_yx, source.nodes is None))
            shift = source.corner_yx[0] - origin[0], source.corner_yx[1] - origin[1]
            table.append((base, known[key], source.number, *shift))
            nodata = _without_data(source.asset, source.raster, pixels.dtype)
            values.append((nodata, source.asset.offset, *_range(source.raster.dtype)))
        first = next((it.origin for it in lattices if it is not None), (0, 0))
        known_as = Tables(
            sources=np.array(table, np.int64).reshape(-1, tables.SOURCE_COLUMNS),
            values=np.array(values, np.float64).reshape(-1, tables.VALUE_COLUMNS),
            grids=np.array(grids, np.int64).reshape(-1, tables.GRID_COLUMNS),
            **tables.joined([None if it is None else it.lattice for it in lattices]),
            node_yx=(origin[0] - first[0], origin[1] - first[1]),
        )
        return Stack(pixels, known_as)

    def _source(self, number: int, asset: Asset, raster: Raster) -> Source | None:
        """Return a source that was asked for, or None if it has no pixel here."""
        origin = aligned_shift(self._grid, raster.crs, raster.transform)
        if origin is not None:
            here = self._window.shifted(-origin[0], -origin[1]).clipped(raster.extent)
            if here.empty:
                return None
            coming = self._reader.fetch(Part(raster, here, asset.band))
            corner = origin[0] + here.y0, origin[1] + here.x0
            return Source(number, asset, raster, here, None, corner, coming)
        scale = shrinking(self._grid, raster.crs, raster.transform, raster.shape_yx)
        limit = NEAREST_BELOW if self._method is ResamplingMethod.NEAREST else SMOOTHED_BELOW
        nodes = self._map(raster)
        others = self._method not in METHODS or min(scale) < limit
        part = self._part(raster, 1 if others else REACH[METHODS[self._method]])
        if part.empty:
            return None
        if others:
            return self._regridded(number, asset, raster, scale)
        sides = nodes.sides(raster.shape_yx, self._window)
        if len(sides) > 1:
            return self._joined(number, asset, raster, sides)
        coming = self._reader.fetch(Part(raster, part, asset.band))
        return Source(number, asset, raster, part, nodes, (0, 0), coming)

    def _regridded(
        self, number: int, asset: Asset, raster: Raster, scale: tuple[float, float]
    ) -> Source:
        missing = raster.nodata if asset.nodata is None else asset.nodata
        pixels = Regridded(
            self._reader, raster, asset.band, missing, self._grid, self._window, self._method, scale
        )
        return self._on_lattice(number, asset, pixels)

    def _joined(
        self, number: int, asset: Asset, raster: Raster, sides: tuple[SourceMap, ...]
    ) -> Source:
        part = Part(raster, raster.extent, asset.band)
        kind = _kind(raster)
        nodata = _without_data(asset, raster, kind)
        pixels = BothEnds(
            self._reader, part, sides, self._window, METHODS[self._method], kind,
            (nodata, 0.0, *_range(raster.dtype)),
        )  # fmt: skip
        return self._on_lattice(number, asset, pixels)

    def _on_lattice(self, number: int, asset: Asset, pixels: Regridded | BothEnds) -> Source:
        """Return a source of pixels that come on the output's lattice, NaN where there are none."""
        corner = self._window.y0, self._window.x0
        window = Window(0, 0, *self._window.shape_yx)
        return Source(
            number, replace(asset, nodata=math.nan), pixels.raster, window, None, corner, pixels
        )

    def _part(self, raster: Raster, reach: int) -> Window:
        """Return what is looked at of a raster: the same for all on one grid."""
        key = raster.crs, raster.transform, raster.shape_yx, reach
        if key not in self._parts:
            nodes = self._map(raster)
            self._parts[key] = nodes.needed(raster.shape_yx, reach, self._window)
        return self._parts[key]

    def _map(self, raster: Raster) -> SourceMap:
        key = raster.crs, raster.transform, raster.shape_yx
        if key not in self._nodes:
            coordinates = coordinate_map(self._grid, raster.crs, self._window)
            self._nodes[key] = source_map(coordinates, raster.transform, raster.shape_yx)
        return self._nodes[key]


def _dtype(sources: Sequence[Source]) -> np.dtype[Any]:
    """Return the type that holds all sources' numbers and what their offsets make of them."""
    kinds = {source.raster.dtype.name for source in sources}
    offsets = {source.asset.offset for source in sources}
    if any(source.raster.masked for source in sources):  # what is hidden is NaN
        return np.dtype(np.float32)
    if kinds <= {"uint8"} and offsets <= {0.0}:
        return np.dtype(np.uint8)
    if kinds <= {"uint8", "uint16"} and all(it <= 0 and it == int(it) for it in offsets):
        return np.dtype(np.uint16)
    return np.dtype(np.float32)


def _class_dtype(sources: Sequence[Source]) -> np.dtype[Any]:
    kinds = {source.raster.dtype.name for source in sources}
    masked = any(source.raster.masked for source in sources)
    return np.dtype(np.uint8) if kinds <= {"uint8"} and not masked else np.dtype(np.int64)


def _kind(raster: Raster) -> np.dtype[Any]:
    """Return the type that holds a raster's own numbers, as `_dtype` does."""
    small = raster.dtype.name in {"uint8", "uint16"} and not raster.masked
    return raster.dtype.newbyteorder("=") if small else np.dtype(np.float32)


def _without_data(asset: Asset, raster: Raster, kind: np.dtype[Any]) -> float:
    """Return the value of pixels without data, NaN for none or for one that no pixel can have."""
    nodata = raster.nodata if asset.nodata is None else asset.nodata
    if nodata is None:
        return math.nan
    low, high = _range(kind)
    fits = kind.kind == "f" or (low <= nodata <= high and nodata == int(nodata))
    return float(nodata) if fits else math.nan


def _range(kind: np.dtype[Any]) -> tuple[float, float]:
    if kind.kind not in "iu":
        return -math.inf, math.inf
    return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
