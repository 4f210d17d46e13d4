"""Vectorize small stores and open the result as a user would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from landloom.raster.execute.local import LocalExecutor
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic
from landloom.wire.progress import Stage
from tests.engine.cubes import never, unheard


def vectors(
    source: CubeStore,
    output: Path,
    *,
    features: tuple[str, ...] = ("field",),
    epsg: int = 32633,
    tile_size: int | None = None,
    workers: int = 2,
    warn: Callable[[Stage, str], None] = unheard,
    **config: object,
) -> gpd.GeoDataFrame:
    """Vectorize with a threshold of 0.5, and read the folder."""
    executor = LocalExecutor(workers)
    try:
        uri, count = vectorize_mosaic(
            source,
            VectorizeConfig.parse(config, list(features), 0.5),
            str(output),
            epsg,
            executor=executor,
            report=unheard,
            warn=warn,
            cancelled=never,
            tile_size=tile_size,
        )
    finally:
        executor.close()
    table = gpd.read_parquet(uri)
    assert len(table) == count
    return table


def field_scores(height: int = 150, width: int = 131, seed: int = 3) -> NDArray[np.float32]:
    """Return (band, y, x): fields of all sizes, the boundaries between them, and a third class.

    Bands are ground, field and edge; at each pixel one of them is above 0.5.
    """
    rng = np.random.default_rng(seed)
    seeds = rng.random((height * width // 90, 2)) * (height, width)
    pixels = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 1, 2) + 0.5
    # Blocks of rows, so that the distances do not need a gigabyte.
    nearest = np.concatenate(
        [np.argmin(((part - seeds) ** 2).sum(-1), axis=1) for part in np.array_split(pixels, 40)]
    ).reshape(height, width)
    kind = rng.integers(0, 2, len(seeds))[nearest]
    border = np.zeros((height, width), bool)
    border[:, 1:] |= nearest[:, 1:] != nearest[:, :-1]
    border[1:] |= nearest[1:] != nearest[:-1]
    kind[border & (rng.random((height, width)) < 0.9)] = 2
    scores = np.full((3, height, width), 0.1, np.float32) * rng.random((3, height, width))
    np.put_along_axis(scores, kind[None], 0.6 + 0.3 * rng.random((1, height, width)), axis=0)
    return scores.astype(np.float32)
