"""A search for geometries as a process of its own: `python -m tests.engine.finding FOLDER`.

It prints a line for each piece that is done and goes on when it is given a line, so that a test can
kill it at any of them. Started again on the same folder it goes on.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np

from landloom.raster.execute.local import LocalExecutor
from landloom.raster.geometries.mosaic import find_geometries
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import GeometryInference
from tests.engine.cubes import cube, never
from tests.engine.finders import AreaFinder

PIECES = 33

ASKED = GeometryInference(
    model_path="areas.pt2",
    features=["r", "g", "b"],
    text_prompt=["red", "green"],
    confidence_threshold=0.0,
    patch_size=16,
    clip_size=4,
)


def ground(path: Path) -> CubeStore:
    """Write what is looked at: areas of all sizes, in two colours."""
    areas = np.random.default_rng(9).random((3, 75, 93)) > 0.55
    return cube(path, 200 * areas.astype(np.float32), bands=ASKED.features)


def find(source: CubeStore, output: Path) -> str:
    """Find them all; tell of each piece."""

    def report(stage: str, message: str, done: int | None = None, total: int | None = None) -> None:
        if stage == "predict":
            print(done, total, flush=True)
            sys.stdin.readline()

    executor = LocalExecutor(2)
    uri, _ = find_geometries(
        [source],
        ASKED,
        partial(AreaFinder, prompts=2),
        str(output),
        identity="areas",
        executor=executor,
        report=report,
        cancelled=never,
        piece_pixels=6 * ASKED.patch_size**2,
    )
    executor.close()
    return uri


if __name__ == "__main__":
    find(CubeStore.open(f"{sys.argv[1]}/c.zarr"), Path(sys.argv[1]) / "out.parquet")
