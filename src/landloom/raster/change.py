"""Change: each time step of mosaics of one grid, subtracted from the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.grid import Tile, tiles
from landloom.raster.journal import Report
from landloom.raster.mosaic.build import VALID_FRACTION, mosaic_row
from landloom.raster.store.zarr import DEFAULT_CHUNK, DEFAULT_SHARD, CubeStore, SubTile
from landloom.wire.results import MosaicRow

PIECE = 1024
"""Pixels a side that are subtracted at a time."""

SOURCES = "landloom:sources"
"""Attribute: the stores that were compared."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """One time step of one store."""

    time: np.datetime64
    store: CubeStore
    index: int


@dataclass(frozen=True, slots=True)
class _Task:
    """One shard of the difference of two time steps."""

    slot: int
    """Time step of the output."""
    earlier: _Moment
    later: _Moment
    tile: Tile


def change_mosaics(
    sources: Sequence[CubeStore],
    features: Sequence[str] | None,
    output_uri: str,
    *,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
) -> MosaicRow:
    """Write the difference of consecutive time steps, later minus earlier, to a store.

    Time steps are put in order over all stores. Each output step has the time of the earlier one
    and, as `time_delta`, what lies between them. A pixel without a value at either end has none.
    Shards that are there are kept, so what was ended goes on where it was.

    Args:
        sources: Stores of one grid, with two time steps among them at least.
        features: Band labels to compare; None is every band of the first store.
        output_uri: The store to make or go on with.
        executor: Runs the tasks, one a shard.
        report: Is told how far it has come.
        cancelled: Asked between pieces of a shard.

    Returns:
        The row of the mosaic index.

    Raises:
        InvalidInput: Grids differ, a store lacks a band, or there are no two time steps to compare.
        StoreProblem: Reading or writing failed, or another store is at `output_uri`.
        Cancelled: `cancelled` said so; what is written stays.
    """
    bands = _bands(sources, features)
    moments = _moments(sources)
    first = sources[0]
    output = CubeStore.create(
        output_uri,
        geobox=first.geobox,
        bands=bands,
        times=[earlier.time for earlier, _ in pairwise(moments)],
        time_deltas=[later.time - earlier.time for earlier, later in pairwise(moments)],
        attributes={SOURCES: [source.uri for source in sources]},
        shard=first.shard if first.native else DEFAULT_SHARD,
        chunk=first.chunk if first.native else DEFAULT_CHUNK,
    )
    tasks = [
        _Task(slot, earlier, later, tile)
        for slot, (earlier, later) in enumerate(pairwise(moments))
        for tile in tiles(output.shape_yx, output.shard)
    ]
    valid = 0
    run = partial(_subtract, output)
    for done, (_, count) in enumerate(executor.map(run, tasks, cancelled), 1):
        valid += count
        report("change", "Subtracting earlier from later", done, len(tasks))
    height, width = output.shape_yx
    fraction = valid / (height * width * len(output.times))
    return mosaic_row(output.finish({VALID_FRACTION: fraction}), fraction)


def check_change(sources: Sequence[CubeStore], features: Sequence[str] | None) -> None:
    """Hold stores against what is to be compared; no pixel is read.

    Raises:
        InvalidInput: Grids differ, a store lacks a band, or there are no two time steps to compare.
    """
    _bands(sources, features)
    _moments(sources)


def _subtract(output: CubeStore, task: _Task, cancelled: AskCancelled) -> int:
    """Write one shard unless it is there; return how many pixels have a value in every band."""
    place = task.slot, task.tile.iy, task.tile.ix
    if output.has_shard(*place):
        values = output.read(task.slot, None, task.tile.window)
        return int((~np.isnan(values)).all(axis=0).sum())
    valid = 0

    def differences() -> Iterator[SubTile]:
        nonlocal valid
        for piece in tiles(task.tile.window.shape_yx, PIECE):
            if cancelled():
                raise Cancelled("The change was cancelled.")
            window = piece.window.shifted(task.tile.window.y0, task.tile.window.x0)
            later = task.later.store.read(task.later.index, output.bands, window)
            earlier = task.earlier.store.read(task.earlier.index, output.bands, window)
            np.subtract(later, earlier, out=later)
            valid += int((~np.isnan(later)).all(axis=0).sum())
            yield window, later

    output.write_shard(*place, differences())
    return valid


def _bands(sources: Sequence[CubeStore], features: Sequence[str] | None) -> list[str]:
    """Return the bands to compare, once it is certain that the stores can be."""
    if not sources:
        raise InvalidInput("There is no mosaic to compare.", field="mosaics")
    first = sources[0]
    bands = list(features) if features else list(first.bands)
    for source in sources:
        if not _same_grid(first, source):
            raise InvalidInput(
                f"{source.uri} ({_grid(source)}) is not on the grid of {first.uri}"
                f" ({_grid(first)}): their pixels cannot be compared.",
                suggestion="Build both with the same aoi and target_crs.",
                field="mosaics",
            )
        source.require_bands(bands, "features")
    return bands


def _moments(sources: Sequence[CubeStore]) -> list[_Moment]:
    """Return all time steps in order."""
    moments = [
        _Moment(time, source, index)
        for source in sources
        for index, time in enumerate(source.times)
    ]
    moments.sort(key=lambda moment: moment.time)
    for earlier, later in pairwise(moments):
        if earlier.time == later.time:
            raise InvalidInput(
                f"{earlier.store.uri} and {later.store.uri} both have a time step"
                f" {np.datetime_as_string(later.time, unit='D')}: none is the later one.",
                suggestion="Pass mosaics of different times.",
                field="mosaics",
            )
    if len(moments) < 2:  # noqa: PLR2004 - before and after
        raise InvalidInput(
            f"{sources[0].uri} has one time step; change needs at least two.",
            suggestion="Build the mosaic over a window of two years or more, or pass two mosaics.",
            field="mosaics",
        )
    return moments


def _same_grid(one: CubeStore, other: CubeStore) -> bool:
    return (
        one.geobox.crs == other.geobox.crs
        and one.shape_yx == other.shape_yx
        and bool(one.geobox.affine.almost_equals(other.geobox.affine, 1e-9 * one.resolution))
    )


def _grid(store: CubeStore) -> str:
    height, width = store.shape_yx
    x, y = store.geobox.affine.c, store.geobox.affine.f
    return f"{store.geobox.crs}, {height} x {width} px of {store.resolution:g} from {x:g}, {y:g}"
