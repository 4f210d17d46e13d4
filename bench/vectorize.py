"""Polygons against contourrs and rasterio, and GeoParquet against a bare write of the same bytes.

    python bench/vectorize.py [CASE ...]        cases: polygonize geoparquet pmtiles

4096 x 4096 labels with some 133,000 fields (`fields`), 16 tiles of 1024, two workers, no scores.
`polygonize` is from labels to well-known binary with every seam merged; its limit, contourrs on the
whole array with one thread, gives well-known binary too. Results are held against the untiled ones
before anything is timed. `geoparquet` is from shapes to the finished folder (Hilbert order, bbox
covering, CRS); its limit is pyarrow writing the same binaries and nothing else. `pmtiles` stands
apart: it is made after the polygons are published.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import (
    BUILD,
    Run,
    main_or_variant,
)

SIDE, TILE, FIELDS, WORKERS, ROUNDS = 4096, 1024, 133_000, 2, 5
LABELS = BUILD / "vectorize" / f"labels-{SIDE}-{FIELDS}.npy"
PIXEL_METRES = 10
EPSG = 32614
ORIGIN_YX = (-420_000, 40_000)
"""Lattice index of the first pixel: Kansas."""


def fields(side: int = SIDE, count: int = FIELDS, seed: int = 0) -> NDArray[np.uint8]:
    """Draw fields: basins of a noisy surface round jittered seeds, a pixel of boundary between.

    One in twenty is fallow (0), so there are open areas as well; boundaries meander at pixel scale.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - not for those who only time
    from skimage.segmentation import watershed  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    per_side = round(count**0.5 * 0.978)  # the line between basins splits some
    cell = side / per_side
    jitter = 0.15 + 0.7 * rng.random((2, per_side, per_side))
    rows, columns = ((np.indices((per_side, per_side)) + jitter) * cell).astype(int)
    seeds = np.zeros((side, side), np.int32)
    seeds[rows.ravel(), columns.ravel()] = np.arange(1, per_side**2 + 1)
    surface = gaussian_filter(rng.random((side, side), dtype=np.float32), 1.2)
    basins = watershed(surface, seeds, watershed_line=True)
    fallow = rng.random(per_side**2 + 1) < 0.05
    return ((basins > 0) & ~fallow[basins]).astype(np.uint8)


def labels() -> NDArray[np.uint8]:
    """Return the benchmark's labels, drawn at the first call."""
    if not LABELS.exists():
        LABELS.parent.mkdir(parents=True, exist_ok=True)
        drawn = fields()
        with tempfile.NamedTemporaryFile(dir=LABELS.parent, delete=False) as file:
            np.save(file, drawn)
        Path(file.name).replace(LABELS)
    found: NDArray[np.uint8] = np.load(LABELS)
    return found


def prepare_ours() -> Run:
    """Polygonize tile by tile, merge every seam, and encode all polygons."""
    from landloom.raster.execute.local import LocalExecutor  # noqa: PLC0415 - not what is timed
    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.vectorize.seams import SeamMerger  # noqa: PLC0415
    from landloom.raster.vectorize.tile import Seams, polygonize_tile  # noqa: PLC0415
    from landloom.raster.vectorize.wkb import POLYGON, encode  # noqa: PLC0415

    executor = LocalExecutor(WORKERS)

    def encoded(shapes: Any) -> Any:
        return encode(shapes, shapes.vertices[:, ::-1].astype(np.float64), POLYGON)

    def polygonize(values: NDArray[np.uint8], size: int) -> list[Any]:
        height, width = values.shape

        def one(tile: Any, _: object) -> tuple[Any, Any]:
            window = tile.window
            seams = Seams(window.y0 > 0, window.y1 < height, window.x0 > 0, window.x1 < width)
            found = polygonize_tile(
                np.ascontiguousarray(values[window.slices()]),
                origin_yx=(window.y0, window.x0),
                seams=seams,
            )
            return encoded(found.closed), found.open

        merger = SeamMerger()
        pieces = []
        for tile, (closed, pending) in executor.map(one, tiles(values.shape, size), bool):
            pieces.append(closed)
            merger.add(tile, pending)
        pieces.append(encoded(merger.drain()))
        return pieces

    values = labels()
    polygonize(values[:96, :96], 32)
    return lambda: {"polygons": sum(map(len, polygonize(values, TILE)))}


def prepare_contourrs() -> Run:
    """Polygonize the whole array on one thread, to well-known binary in Arrow."""
    import contourrs  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    values = labels()
    mask = values > 0
    return lambda: {"polygons": pa.table(contourrs.shapes_arrow(values, mask=mask)).num_rows}


def prepare_rasterio() -> Run:
    """Polygonize the whole array with GDAL; what comes out are dicts, nothing is encoded."""
    import rasterio.features  # noqa: PLC0415

    values = labels()
    mask = values > 0
    return lambda: {"polygons": sum(1 for _ in rasterio.features.shapes(values, mask=mask))}


VARIANTS = {"ours": prepare_ours, "contourrs": prepare_contourrs, "rasterio": prepare_rasterio}

if __name__ == "__main__":
    main_or_variant(VARIANTS, lambda: None)
