"""The unit of mosaicking: one shard of the output, all datasets, one time step.

Per dataset, masks come first and throw whole scenes out; then each band is read for the whole
shard, so that a block is decoded once, and resampled and reduced sub-tile by sub-tile into the
shard's object, while the next band is on its way. Memory is that of one band of all scenes over one
shard, and where those are very many, over a piece of it, whatever the area of interest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled, SceneReadFailed
from landloom.raster.catalog.dataset import Reducer
from landloom.raster.grid import Tile, Window, lattice_origin, tiles
from landloom.raster.mosaic.composite import composite_window
from landloom.raster.mosaic.masks import choose_classes, mask_window
from landloom.raster.mosaic.median import median_network
from landloom.raster.mosaic.raster import RasterReadError
from landloom.raster.mosaic.read import RasterReader, shared_reader
from landloom.raster.mosaic.resample import NEAREST
from landloom.raster.mosaic.sources import METHODS, Piece, Source, Stack
from landloom.raster.mosaic.tables import paired
from landloom.raster.mosaic.warp import OutputGrid
from landloom.raster.scenes import OnError
from landloom.raster.stac.scene import Asset, Scene
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import CubeStore, SubTile
from landloom.wire.enums import ResamplingMethod

DEFAULT_SUBTILE = 1024

STACK_BYTES = 24 * 2**20
"""At most so much a worker holds of source pixels at a time: twelve scenes of uint16 over a quarter
of a shard. More is no faster."""

LEAST_PIECE = 256
"""Pixels a side below which a shard is not cut for the sake of memory."""


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
    skipped: dict[str, str] = field(default_factory=dict)
    """A sentence for each raster that was left out, whole or in part, by its URL."""
    valid_px: int = 0
    """Pixels with a value in every band."""


def build_tile(
    task: MosaicTask,
    cancelled: Callable[[], bool] = lambda: False,
    reader: RasterReader | None = None,
    note: Callable[[TileReport], None] | None = None,
) -> TileReport:
    """Compute one shard and write it.

    Args:
        task: What to compute.
        cancelled: Asked between two sub-tiles.
        reader: Reads the scenes; None is the one that this process shares.
        note: Told the report when all is computed, before the shard appears.

    Raises:
        SceneReadFailed: A raster cannot be read and the task does not allow to leave it out.
        StoreProblem: The shard cannot be written.
        Cancelled: `cancelled` said so, between two sub-tiles; nothing was written.
    """
    report = TileReport()
    shard = _Shard(task, reader or shared_reader(), cancelled, report)

    def noted() -> Iterator[SubTile]:
        yield from shard.subtiles()
        if note is not None:
            note(report)

    task.store.write_shard(task.time_index, task.tile.iy, task.tile.ix, noted())
    return report


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
        self._filled = np.ones(self._window.shape_yx, np.bool_)
        self._room = np.empty(0, np.uint8)

    def subtiles(self) -> Iterator[SubTile]:
        """Yield the shard band by band, each band in sub-tiles."""
        for layer in self._task.layers:
            yield from self._layer(layer)
        self._report.valid_px = int(self._filled.sum())

    def _layer(self, layer: Layer) -> Iterator[SubTile]:
        pieces = list(_pieces(Window(0, 0, *self._window.shape_yx), len(layer.scenes)))
        with self._reader.buffers() as buffer:
            scenes, keep = self._masks(layer, pieces, buffer)
            self._report.scenes += len(scenes)
            valid = keep.copy() if layer.counted else keep
            jobs = [(band, piece) for band in range(layer.bands) for piece in pieces]
            coming = self._ask(layer, scenes, *jobs[0])
            for number, (band, window) in enumerate(jobs):
                piece, sources = coming
                if number + 1 < len(jobs):
                    coming = self._ask(layer, scenes, *jobs[number + 1])
                stack = piece.receive(sources, self._origin, self._failed(layer), buffer)
                _clear_absent(scenes, stack, window, valid)
                for tile in _within(window, self._task.subtile):
                    planes = self._reduced(layer, stack, tile, keep, valid)
                    for part, plane in zip(_side_by_side(tile, len(planes)), planes, strict=True):
                        yield self._placed(part), plane[None], layer.first_band + band
        if layer.counted:
            count = np.bitwise_count(valid).sum(axis=0, dtype=np.float32)[None]
            yield self._window, count, layer.first_band + layer.bands

    def _masks(
        self, layer: Layer, pieces: Sequence[Window], buffer: Callable[[int], NDArray[np.uint8]]
    ) -> tuple[dict[int, Scene], NDArray[np.uint8]]:
        """Return the scenes with pixels that stay, by bit, and the bits: uint8 (plane, y, x)."""
        scenes = {
            number: scene
            for number, scene in enumerate(layer.scenes)
            if scene.mask is not None or not layer.dropped
        }
        shape = (-(-len(layer.scenes) // 8), *self._window.shape_yx)
        keep = np.zeros(shape, np.uint8)
        if layer.dropped is None:
            for number in scenes:
                keep[number // 8] |= np.uint8(1 << number % 8)
            return scenes, keep
        stays = np.array([not dropped for dropped in layer.dropped], np.uint8)
        kept = np.zeros(len(layer.scenes), np.bool_)
        wanted = [
            (number, scene.mask) for number, scene in scenes.items() if scene.mask is not None
        ]
        failed = self._failed(layer)
        for window in pieces:
            piece = self._piece(window, ResamplingMethod.NEAREST)
            asked = piece.ask(wanted, failed)
            stack = piece.receive(asked, self._origin, failed, buffer, classes=True)
            choose_classes(stack.pixels, stays)
            mask_window(stack.pixels, stack.tables, _numbers(window), keep, kept)
        return {number: scene for number, scene in scenes.items() if kept[number]}, keep

    def _ask(
        self, layer: Layer, scenes: dict[int, Scene], band: int, window: Window
    ) -> tuple[Piece, list[Source]]:
        piece = self._piece(window, layer.resampling)
        wanted = [
            (number, asset)
            for number, scene in scenes.items()
            if (asset := scene.bands[band]) is not None
        ]
        return piece, piece.ask(wanted, self._failed(layer))

    def _piece(self, window: Window, method: ResamplingMethod) -> Piece:
        place = window.shifted(*self._origin)
        return Piece(self._reader, self._grid, place, method)

    def _reduced(
        self,
        layer: Layer,
        stack: Stack,
        window: Window,
        keep: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> NDArray[Any]:
        """Return the composite of a sub-tile, in the type of the store where that fits.

        It is (part, y, x): parts as wide as an inner chunk, which then need no copying to be
        packed, or one as wide as the sub-tile where that does not begin and end with a chunk.

        Raises:
            Cancelled: It was asked for.
        """
        if self._cancelled():
            raise Cancelled("The mosaic was cancelled.")
        whole = stack.pixels.dtype == np.uint8 and self._task.store.dtype == "uint8"
        none = np.uint8(0) if whole else np.float32(np.nan)
        planes = self._planes(window, none.dtype)
        composite_window(
            paired(stack.pixels, window.shape_yx[1]), stack.tables, _numbers(window),
            METHODS.get(layer.resampling, NEAREST), layer.reducer == "last", layer.counted,
            keep, valid, self._filled, median_network(len(stack.tables.sources)), stack.ends,
            none, planes,
        )  # fmt: skip
        if self._task.store.dtype == "uint8" and not whole:
            _round_to_bytes(planes)
        return planes

    def _planes(self, window: Window, kind: np.dtype[Any]) -> NDArray[Any]:
        """Return room for a sub-tile, the same for all: it is written before the next is made."""
        (height, width), chunk = window.shape_yx, self._task.store.chunk
        parts = 1 if window.x0 % chunk or width % chunk else width // chunk
        length = height * width * kind.itemsize
        if len(self._room) < length:
            self._room = np.empty(length, np.uint8)
        return self._room[:length].view(kind).reshape(parts, height, width // parts)

    def _placed(self, window: Window) -> Window:
        return window.shifted(self._window.y0, self._window.x0)

    @property
    def _origin(self) -> tuple[int, int]:
        return self._global.y0, self._global.x0

    def _failed(self, layer: Layer) -> Callable[[int, Asset, RasterReadError], None]:
        """Return what ends the workflow, or notes that a raster is left out."""

        def failed(number: int, asset: Asset, error: RasterReadError) -> None:
            scene = layer.scenes[number]
            sentence = (
                f"Scene {scene.id}: asset {asset.key} at {asset.href} cannot be read: {error}"
            )
            if self._task.on_error == "raise":
                raise SceneReadFailed(
                    sentence,
                    suggestion="Check the file, take the scene out of its catalogue, or run again"
                    " if the store was down; finished tiles are kept.",
                ) from error
            self._report.skipped.setdefault(asset.href, sentence)

        return failed


def _pieces(window: Window, scenes: int) -> Iterator[Window]:
    """Cut a window in halves until the pixels of all scenes over it are not too many."""
    height, width = window.shape_yx
    if 2 * scenes * height * width <= STACK_BYTES or max(height, width) <= LEAST_PIECE:
        yield window
    elif height >= width:
        middle = window.y0 + height // 2
        yield from _pieces(replace(window, y1=middle), scenes)
        yield from _pieces(replace(window, y0=middle), scenes)
    else:
        middle = window.x0 + width // 2
        yield from _pieces(replace(window, x1=middle), scenes)
        yield from _pieces(replace(window, x0=middle), scenes)


def _within(window: Window, size: int) -> Iterator[Window]:
    for tile in tiles(window.shape_yx, size):
        yield tile.window.shifted(window.y0, window.x0)


def _round_to_bytes(planes: NDArray[np.float32]) -> None:
    """Round as `store_row` does where it stores bytes: half up, and to 1 at least; NaN stays."""
    planes += np.float32(0.5)
    np.floor(planes, out=planes)
    np.maximum(planes, np.float32(1), out=planes)


def _side_by_side(window: Window, count: int) -> Iterator[Window]:
    """Cut a window into parts of equal width."""
    width = window.shape_yx[1] // count
    for left in range(window.x0, window.x1, width):
        yield replace(window, x0=left, x1=left + width)


def _numbers(window: Window) -> tuple[int, int, int, int]:
    return window.y0, window.x0, *window.shape_yx


def _clear_absent(
    scenes: Mapping[int, Scene], stack: Stack, window: Window, valid: NDArray[np.uint8]
) -> None:
    """Clear the bits of scenes that have no pixel of a band in a window."""
    rows, columns = window.slices()
    for number in scenes.keys() - stack.numbers:
        valid[number // 8, rows, columns] &= np.uint8(255 - (1 << number % 8))
