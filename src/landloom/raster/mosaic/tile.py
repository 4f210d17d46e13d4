"""The unit of mosaicking: one shard of the output, all datasets, one time step.

Per dataset, masks come first and throw whole scenes out; then each band is read for the whole
shard, so that a block is decoded once, and warped and reduced sub-tile by sub-tile into the shard's
object. Memory is that of one band of all scenes over one shard, whatever the area of interest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled, SceneReadFailed
from landloom.raster.catalog.dataset import Reducer
from landloom.raster.grid import Tile, Window, lattice_origin, tiles
from landloom.raster.mosaic.composite import drop_missing, median
from landloom.raster.mosaic.read import Raster, RasterReader, RasterReadError, shared_reader
from landloom.raster.mosaic.warp import (
    CoordinateMap,
    OutputGrid,
    SourceMap,
    aligned_shift,
    coordinate_map,
    copy_aligned,
    source_map,
    warp_bilinear,
    warp_nearest,
)
from landloom.raster.stac.scene import Asset, Scene
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import CubeStore, SubTile
from landloom.wire.enums import ResamplingMethod

type OnError = Literal["raise", "skip"]

DEFAULT_SUBTILE = 1024

NATIVE_DTYPES = ("uint8", "uint16", "int16", "float32")
"""What the warp is compiled for; any other type becomes float64 first."""

BILINEAR_REACH = 1
"""Source pixels around a coordinate that bilinear interpolation looks at."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One dataset's share of a store at one time step."""

    dataset: str
    scenes: tuple[Scene, ...]
    """In the order of the scene table."""
    first_band: int
    """Where in the store its bands begin; the count band, if any, follows them."""
    bands: int
    """Bands without the count band."""
    counted: bool
    """Whether there is a count band."""
    dropped: tuple[bool, ...] | None
    """For each mask class, whether its pixels are thrown away; None for no mask."""
    reducer: Reducer = "median"
    resampling: ResamplingMethod = ResamplingMethod.BILINEAR


@dataclass(frozen=True, slots=True)
class MosaicTask:
    """One shard to compute."""

    store: CubeStore
    time_index: int
    tile: Tile
    layers: tuple[Layer, ...]
    subtile: int = DEFAULT_SUBTILE
    """Pixels a side of what is warped and reduced at a time."""
    on_error: OnError = "raise"
    """Whether a raster that cannot be read ends the workflow or is left out and counted."""


@dataclass(slots=True)
class TileReport:
    """What became of a task."""

    scenes: int = 0
    """Scenes with at least one pixel that stayed."""
    skipped: list[str] = field(default_factory=list)
    """A sentence for each raster that was left out."""
    valid_px: int = 0
    """Pixels with a value in every band."""


def build_tile(
    task: MosaicTask,
    cancelled: Callable[[], bool] = lambda: False,
    reader: RasterReader | None = None,
) -> TileReport:
    """Compute one shard and write it.

    Raises:
        SceneReadFailed: A raster cannot be read and the task does not allow to leave it out.
        StoreProblem: The shard cannot be written.
        Cancelled: `cancelled` said so, between two sub-tiles; nothing was written.
    """
    report = TileReport()
    subtiles = _Shard(task, reader or shared_reader(), cancelled, report).subtiles()
    task.store.write_shard(task.time_index, task.tile.iy, task.tile.ix, subtiles)
    return report


@dataclass(frozen=True)
class _Source:
    """A scene's raster on the way to the output: header, pixels of the shard, place."""

    raster: Raster
    part: Window
    """What was read of the raster."""
    pixels: NDArray[np.generic]
    nodes: SourceMap | None
    """None where the raster is on the output's own grid."""
    shift: tuple[int, int]
    """Where nodes is None: first raster pixel in shard pixels (y, x)."""
    asset: Asset


class _Shard:
    """The computation of one shard."""

    def __init__(
        self,
        task: MosaicTask,
        reader: RasterReader,
        cancelled: Callable[[], bool],
        report: TileReport,
    ) -> None:
        self._task = task
        self._reader = reader
        self._cancelled = cancelled
        self._report = report
        geobox = task.store.geobox
        epsg = crs_of(geobox).to_epsg()
        crs = crs_of(geobox).to_wkt() if epsg is None else f"EPSG:{epsg}"
        gy0, gx0 = lattice_origin(geobox)
        self._grid = OutputGrid(crs, task.store.resolution)
        self._window = task.tile.window
        self._global = self._window.shifted(gy0, gx0)
        self._maps: dict[str, CoordinateMap] = {}
        self._filled = np.ones(self._window.shape_yx, np.bool_)

    def subtiles(self) -> Iterator[SubTile]:
        """Yield the shard band by band, each band in sub-tiles."""
        for layer in self._task.layers:
            yield from self._layer(layer)
        self._report.valid_px = int(self._filled.sum())

    def _layer(self, layer: Layer) -> Iterator[SubTile]:
        scenes, keep = self._masks(layer)
        self._report.scenes += len(scenes)
        valid = keep.copy() if layer.counted else None
        side = self._task.subtile
        buffer = np.empty(len(scenes) * side * side, np.float32)
        for band in range(layer.bands):
            sources = self._sources([scene.bands[band] for scene in scenes], scenes)
            for tile in tiles(self._window.shape_yx, self._task.subtile):
                if self._cancelled():
                    raise Cancelled("The mosaic was cancelled.")
                rows, columns = tile.window.slices()
                height, width = tile.window.shape_yx
                stack = buffer[: len(scenes) * height * width].reshape(len(scenes), height, width)
                for number, source in enumerate(sources):
                    mask = keep[number, rows, columns]
                    self._warp(source, tile.window, mask, stack[number])
                if valid is not None:
                    drop_missing(stack, valid[:, rows, columns])
                plane = median(stack)
                self._filled[rows, columns] &= ~np.isnan(plane)
                yield self._placed(tile.window), plane[None], layer.first_band + band
        if valid is not None:
            count = valid.sum(axis=0, dtype=np.float32)[None]
            yield self._window, count, layer.first_band + layer.bands

    def _placed(self, window: Window) -> Window:
        return window.shifted(self._window.y0, self._window.x0)

    def _masks(self, layer: Layer) -> tuple[list[Scene], NDArray[np.uint8]]:
        """Return the scenes with pixels that stay, and which those are: uint8 (scene, y, x)."""
        shape = self._window.shape_yx
        scenes = [scene for scene in layer.scenes if scene.mask is not None or not layer.dropped]
        if layer.dropped is None:
            return scenes, np.ones((len(scenes), *shape), np.uint8)
        table = np.array([not dropped for dropped in layer.dropped], np.uint8)
        masks = [scene.mask for scene in scenes if scene.mask is not None]
        kept, keeps = [], []
        for scene, source in zip(scenes, self._sources(masks, scenes), strict=True):
            keep = np.zeros(shape, np.uint8)
            if source is not None and self._warp_mask(source, table, keep):
                kept.append(scene)
                keeps.append(keep)
        return kept, np.array(keeps, np.uint8).reshape(len(keeps), *shape)

    def _sources(self, assets: list[Asset], scenes: list[Scene]) -> list[_Source | None]:
        """Read each asset's pixels for the shard; None where it has none there, or was skipped."""
        sources: list[_Source | None] = [None] * len(assets)
        wanted: list[tuple[int, Raster, Window, SourceMap | None, tuple[int, int]]] = []
        opened = self._reader.open_many([asset.href for asset in assets])
        for number, raster in enumerate(opened):
            if isinstance(raster, RasterReadError):
                self._failed(scenes[number], assets[number], raster)
                continue
            part, nodes, shift = self._place(raster)
            if not part.empty:
                wanted.append((number, raster, part, nodes, shift))
        pixels = self._reader.read_many([(raster, part) for _, raster, part, _, _ in wanted])
        for (number, raster, part, nodes, shift), data in zip(wanted, pixels, strict=True):
            if isinstance(data, RasterReadError):
                self._failed(scenes[number], assets[number], data)
                continue
            native = data if data.dtype.name in NATIVE_DTYPES else data.astype(np.float64)
            sources[number] = _Source(raster, part, native, nodes, shift, assets[number])
        return sources

    def _place(self, raster: Raster) -> tuple[Window, SourceMap | None, tuple[int, int]]:
        """Return what the shard needs of a raster, and how its pixels get there."""
        origin = aligned_shift(self._grid, raster.crs, raster.transform)
        if origin is not None:
            shift = origin[0] - self._global.y0, origin[1] - self._global.x0
            shard = Window(0, 0, *self._window.shape_yx).shifted(-shift[0], -shift[1])
            return shard.clipped(raster.extent), None, shift
        if raster.crs not in self._maps:
            self._maps[raster.crs] = coordinate_map(self._grid, raster.crs, self._global)
        nodes = source_map(self._maps[raster.crs], raster.transform)
        return nodes.needed(raster.shape_yx, BILINEAR_REACH), nodes, (0, 0)

    def _warp_mask(self, source: _Source, table: NDArray[np.uint8], keep: NDArray[np.uint8]) -> int:
        """Fill `keep` for the whole shard; return how many pixels stay."""
        if source.nodes is None:
            target = source.part.shifted(*source.shift)
            classes = source.pixels.astype(np.int64)
            known = (classes >= 0) & (classes < len(table))
            keep[target.slices()] = np.where(known, table[np.where(known, classes, 0)], 0)
            return int(np.count_nonzero(keep))
        return int(
            warp_nearest(
                source.pixels,
                (source.part.y0, source.part.x0),
                source.raster.shape_yx,
                source.nodes.columns,
                source.nodes.rows,
                self._offset(source.nodes, 0, 0),
                table,
                keep,
            )
        )

    def _warp(
        self,
        source: _Source | None,
        window: Window,
        keep: NDArray[np.uint8],
        out: NDArray[np.float32],
    ) -> None:
        """Fill `out` with a sub-tile (shard pixels) of one scene's band, NaN where it has none."""
        if source is None:
            out[:] = np.nan
            return
        nodata = source.asset.nodata
        nodata = source.raster.nodata if nodata is None else nodata
        missing = float("nan") if nodata is None else float(nodata)
        if source.nodes is None:
            target = source.part.shifted(*source.shift).clipped(window)
            if target != window:
                out[:] = np.nan
            if not target.empty:
                place = target.shifted(-window.y0, -window.x0).slices()
                have = target.shifted(-source.shift[0], -source.shift[1])
                pixels = source.pixels[have.shifted(-source.part.y0, -source.part.x0).slices()]
                copy_aligned(pixels, keep[place], missing, source.asset.offset, out[place])
            return
        warp_bilinear(
            source.pixels,
            (source.part.y0, source.part.x0),
            source.raster.shape_yx,
            source.nodes.columns,
            source.nodes.rows,
            self._offset(source.nodes, window.y0, window.x0),
            keep,
            missing,
            source.asset.offset,
            source.raster.dtype.kind in "iu",
            out,
        )

    def _offset(self, nodes: SourceMap, y: int, x: int) -> tuple[int, int]:
        return self._global.y0 + y - nodes.origin[0], self._global.x0 + x - nodes.origin[1]

    def _failed(self, scene: Scene, asset: Asset, error: RasterReadError) -> None:
        """End the workflow, or note that a raster is left out.

        Raises:
            SceneReadFailed: The task does not allow to leave it out.
        """
        sentence = f"Scene {scene.id}: asset {asset.key} at {asset.href} cannot be read: {error}"
        if self._task.on_error == "raise":
            raise SceneReadFailed(
                sentence,
                suggestion="Check the file, take the scene out of its catalogue, or run again if"
                " the store was down; finished tiles are kept.",
            ) from error
        self._report.skipped.append(sentence)
