"""Between the pixels' shapes and the rows: splitting, refining and simplifying, each a stage.

Splitting needs whole areas, and choosing the corners that stay needs the boundaries of all areas.
So both are stages between the tiles and the parts, and each is passed over if nobody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from landloom.errors import Cancelled
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.journal import Report
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize import watershed
from landloom.raster.vectorize.areas import pixel_metres
from landloom.raster.vectorize.batch import Batch
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.linework import Linework
from landloom.raster.vectorize.project import Projection
from landloom.raster.vectorize.refine import refined
from landloom.raster.vectorize.shapes import Shapes
from landloom.raster.vectorize.spill import Layer, Spill, Stretch
from landloom.wire.progress import Stage


@dataclass(frozen=True)
class Shaping:
    """Refines the rows of a layer and drops the corners that do not stay."""

    config: VectorizeConfig
    degrees: Projection
    linework: dict[int, Linework] = field(default_factory=dict)
    """By time step."""

    def __call__(self, layer: Layer, batch: Batch) -> Batch:
        """Return the rows that stay, simplified."""
        kept = refined(batch, self.config, self.degrees)
        return self.linework[layer.time_index].thinned(kept) if len(kept) else kept


def middle_metres(source: CubeStore, degrees: Projection) -> NDArray[np.float64]:
    """Return (2,): how high and wide a pixel is on the ground at the raster's middle."""
    return pixel_metres(degrees, np.array(source.shape_yx) // 2)


def split_all(
    spill: Spill,
    source: CubeStore,
    config: VectorizeConfig,
    degrees: Projection,
    executor: Executor,
    report: Report,
    warn: Callable[[Stage, str], None],
    cancelled: AskCancelled,
) -> Spill:
    """Return a spill of the pieces of every area, and of the areas that have but one.

    It is warned of areas that are too large to be split.
    """
    out = Spill(spill.shape_yx)
    run = partial(_split, source, config, middle_metres(source, degrees))
    stretches = spill.stretches()
    too_large = 0
    for done, (stretch, (found, unsplit)) in enumerate(
        executor.map(run, stretches, cancelled), start=1
    ):
        for shapes, columns in found:
            out.add(stretch.layer, shapes, columns)
        too_large += unsplit
        report("vectorize", "Splitting touching fields", done, len(stretches))
    if too_large:
        warn(
            "vectorize",
            f"Watershed left whole {too_large} of {spill.rows} areas: the box round each has more"
            f" than {watershed.LARGEST_WINDOW} pixels. Raise the threshold, so that they fall"
            " apart, or vectorize a smaller AOI.",
        )
    return out


def _split(
    source: CubeStore,
    config: VectorizeConfig,
    ground: NDArray[np.float64],
    stretch: Stretch,
    cancelled: AskCancelled,
) -> tuple[list[tuple[Shapes, dict[str, NDArray[np.float64]]]], int]:
    """Return shapes with their columns, and how many areas are too large to be split."""
    if cancelled():
        raise Cancelled("The vectorization was cancelled.")
    if config.watershed is None:
        raise ValueError("nothing says how to split")
    feature, _ = config.thresholds[stretch.layer.feature_index]
    batch = stretch.read()
    pieces, whole, too_large = watershed.split_shapes(
        batch.shapes,
        config.watershed,
        ground,
        source,
        stretch.layer.time_index,
        feature,
        stats=config.stats,
    )
    rest = batch.taken(whole)
    return [(rest.shapes, rest.columns), *((shapes, {}) for shapes in pieces)], too_large


@contextmanager
def simplified(
    parts: list[list[Stretch]],
    source: CubeStore,
    config: VectorizeConfig,
    degrees: Projection,
    workers: int,
    report: Report,
    cancelled: AskCancelled,
) -> Iterator[list[list[Stretch]]]:
    """Give parts whose shapes come simplified; the files behind them last as long as the block."""
    if config.simplify_m <= 0 or config.medial_skeletonize:
        yield parts
        return
    linework: dict[int, Linework] = {}
    try:
        for stretch in (stretch for part in parts for stretch in part):
            if cancelled():
                raise Cancelled("The vectorization was cancelled.")
            time_index = stretch.layer.time_index
            if time_index not in linework:
                linework[time_index] = Linework(source.shape_yx)
            linework[time_index].draw(stretch.read().shapes)
        for done, lines in enumerate(linework.values(), start=1):
            lines.simplify(config.simplify_m, degrees, workers)
            report("vectorize", "Simplifying outlines", done, len(linework))
        shaping = Shaping(config, degrees, linework)
        yield [[replace(stretch, shaping=shaping) for stretch in part] for part in parts]
    finally:
        for lines in linework.values():
            lines.close()
