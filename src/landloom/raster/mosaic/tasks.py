"""The tasks of a mosaic: one a shard and time step, each with the scenes that can touch it.

They are made as they are drawn, so a plan of a hundred thousand tiles takes the memory of its
scenes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import shapely
from numpy.typing import NDArray

from landloom.raster.catalog.dataset import Dataset
from landloom.raster.grid import tile_count, tiles
from landloom.raster.mosaic.choice import Choice
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.tile import Layer, MosaicTask
from landloom.raster.scenes import OnError, SceneTable
from landloom.raster.store.zarr import CubeStore

type Place = tuple[int, int, int]
"""Of a shard: time index, iy, ix."""


@dataclass(frozen=True, slots=True)
class MosaicTasks:
    """All tasks of one mosaic."""

    store: CubeStore
    plan: MosaicPlan
    subtile: int
    on_error: OnError

    def __len__(self) -> int:
        return len(self.plan.tables) * tile_count(self.store.shape_yx, self.store.shard)

    def without(self, written: Collection[Place]) -> Iterator[MosaicTask]:
        """Yield the tasks whose shards are not written, by time step and then row by row."""
        empty = _layers(self.plan.datasets)
        for time_index, step in enumerate(self.plan.tables):
            choices = [_chosen(self.store, table) for table in step]
            rows = groupby(tiles(self.store.shape_yx, self.store.shard), lambda tile: tile.iy)
            for _, row in rows:
                chosen = [next(choice) for choice in choices]
                for tile in row:
                    if (time_index, tile.iy, tile.ix) in written:
                        continue
                    layers = tuple(
                        replace(layer, scenes=tuple(table.scenes[one] for one in each[tile.ix]))
                        for layer, table, each in zip(empty, step, chosen, strict=True)
                    )
                    yield MosaicTask(
                        self.store, time_index, tile, layers, self.subtile, self.on_error
                    )


def place_of(task: MosaicTask) -> Place:
    """Return which shard a task makes."""
    return task.time_index, task.tile.iy, task.tile.ix


def _chosen(store: CubeStore, table: SceneTable) -> Iterator[list[NDArray[np.int64]]]:
    outlines = shapely.from_wkt([scene.outline for scene in table.scenes])
    return Choice(store.geobox, store.shard, outlines).rows()


def _layers(datasets: Sequence[Dataset]) -> list[Layer]:
    """Return the layers of a tile that no scene touches."""
    layers, first = [], 0
    for dataset in datasets:
        layers.append(
            Layer(
                dataset=dataset.name,
                scenes=(),
                first_band=first,
                bands=len(dataset.bands),
                counted=dataset.count_band is not None,
                dropped=None if dataset.mask is None else dataset.mask.dropped(),
                reducer=dataset.reducer,
                resampling=dataset.resampling,
            )
        )
        first += len(dataset.labels)
    return layers
