"""Polygons against contourrs and rasterio, and GeoParquet against a bare write of the same bytes.

    python bench/vectorize.py [CASE ...]        cases: polygonize geoparquet pmtiles

4096 x 4096 labels with some 133,000 fields (`fields`), 16 tiles of 1024, two workers, no scores.
`polygonize` is from labels to well-known binary with every seam merged; its limit, contourrs on the
whole array with one thread, gives well-known binary too. Results are held against the untiled ones
before anything is timed. `geoparquet` is from shapes to the finished folder (Hilbert order, bbox
covering, CRS); its limit is pyarrow writing the same binaries and nothing else. `pmtiles` stands
apart: a quarter is cut, after the polygons are published, and held against them by area.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import (
    BUILD,
    Run,
    add_cases,
    cold,
    cpu,
    main_or_variant,
    measure,
    memory,
    report,
    sample_once,
    wall,
)

SIDE, TILE, FIELDS, WORKERS, ROUNDS = 4096, 1024, 133_000, 2, 3
FOLDER_ROUNDS = 5
"""A folder takes a fraction of a second, in which other programs of the machine show."""

TILES_AGREE = 1e-3
"""Share of the area by which tiles may differ: they keep corners to a metre or so."""

QUARTER = "-quarter"
"""What a folder of a quarter of the labels is named after the whole one's name."""

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


def prepare_folder(epsg: str, folder: str) -> Run:
    """Write shapes that are in memory as a GeoParquet folder."""
    from affine import Affine  # noqa: PLC0415 - not what is timed
    from odc.geo.geobox import GeoBox  # noqa: PLC0415
    from pyproj import CRS  # noqa: PLC0415

    from landloom.raster.execute.local import LocalExecutor  # noqa: PLC0415
    from landloom.raster.store.zarr import CubeStore  # noqa: PLC0415
    from landloom.raster.vectorize.config import VectorizeConfig  # noqa: PLC0415
    from landloom.raster.vectorize.part import Part, PartWriter  # noqa: PLC0415
    from landloom.raster.vectorize.spill import Layer, Spill  # noqa: PLC0415
    from landloom.raster.vectorize.tile import polygonize_tile  # noqa: PLC0415

    size, (gy, gx) = PIXEL_METRES, ORIGIN_YX
    transform = Affine(size, 0, gx * size, 0, -size, -gy * size)
    geobox = GeoBox((SIDE, SIDE), transform, f"EPSG:{EPSG}")
    source = CubeStore("", geobox, ("field",), (np.datetime64("2024-01-01"),), TILE, TILE, {})
    config = VectorizeConfig((("field", 0.5),))
    executor = LocalExecutor(WORKERS)

    def write(shapes: Any, uri: str) -> int:
        shutil.rmtree(uri, ignore_errors=True)
        writer = PartWriter.of(source, config, CRS.from_epsg(int(epsg)), uri)
        with Spill((SIDE, SIDE)) as spill:
            spill.add(Layer(0, 0), shapes)
            parts = [Part(number, tuple(each)) for number, each in enumerate(spill.parts())]
            return sum(rows for _, rows in executor.map(writer.write, parts, bool))

    shapes = polygonize_tile(labels()).closed
    # Two parts, one for each worker: the bare write's memory is warm too, from reading its table.
    write(polygonize_tile(labels()[: 2 * TILE, : 2 * TILE].copy()).closed, f"{folder}{QUARTER}")
    return lambda: {"polygons": write(shapes, folder)}


def prepare_bare(folder: str, codec: str) -> Run:
    """Write the well-known binary of a folder with pyarrow, and nothing else."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - not what is timed

    table = pq.read_table(folder, columns=["geometry"]).replace_schema_metadata().combine_chunks()
    out = f"{folder}.bare.parquet"
    return lambda: pq.write_table(table, out, compression=codec) or {}


def prepare_tiles(folder: str) -> Run:
    """Cut the vector tiles of a folder."""
    from landloom.raster.vectorize.tiles import write_tiles  # noqa: PLC0415 - not what is timed

    return lambda: {"tiles": write_tiles(folder)}


VARIANTS = {
    "ours": prepare_ours,
    "contourrs": prepare_contourrs,
    "rasterio": prepare_rasterio,
    "folder": prepare_folder,
    "bare": prepare_bare,
    "tiles": prepare_tiles,
}


def polygonize_agrees() -> bool:
    """Hold tiles with merged seams against the untiled array and against both peers, byte by byte.

    Every polygon is normalized first: rings start elsewhere in each library. It is done on four
    tiles, of which some 33,000 polygons come: GDAL's take longer to compare than to make.
    """
    import contourrs  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import rasterio.features  # noqa: PLC0415
    import shapely  # noqa: PLC0415

    from landloom.raster.grid import tiles  # noqa: PLC0415
    from landloom.raster.vectorize.seams import SeamMerger  # noqa: PLC0415
    from landloom.raster.vectorize.tile import Seams, polygonize_tile  # noqa: PLC0415
    from landloom.raster.vectorize.wkb import POLYGON, encode  # noqa: PLC0415

    values = np.ascontiguousarray(labels()[: 2 * TILE, : 2 * TILE])

    def normal(found: Any) -> set[bytes]:
        return set(shapely.to_wkb(shapely.normalize(shapely.from_wkb(np.array(found, object)))))

    def encoded(shapes: Any) -> list[bytes]:
        xy = shapes.vertices[:, ::-1].astype(np.float64)
        return list(encode(shapes, xy, POLYGON).to_pylist())

    merger, pieces = SeamMerger(), []
    for tile in tiles(values.shape, TILE):
        window = tile.window
        seams = Seams(window.y0 > 0, window.y1 < 2 * TILE, window.x0 > 0, window.x1 < 2 * TILE)
        part = np.ascontiguousarray(values[window.slices()])
        found = polygonize_tile(part, origin_yx=(window.y0, window.x0), seams=seams)
        pieces += encoded(found.closed)
        merger.add(tile, found.open)
    ours = normal(pieces + encoded(merger.drain()))
    untiled = normal(encoded(polygonize_tile(values).closed))
    arrow = pa.table(contourrs.shapes_arrow(values, mask=values > 0))
    theirs = normal(arrow["geometry"].to_numpy())
    gdal = [shape for shape, _ in rasterio.features.shapes(values, mask=values > 0)]
    return ours == untiled == theirs == normal([shapely.geometry.shape(one).wkb for one in gdal])


def polygonize_case() -> None:
    """Time polygonizing, seams included, against both peers."""
    agree = polygonize_agrees()
    found = measure(__file__, {"ours": [], "contourrs": [], "rasterio": []}, rounds=ROUNDS)
    peers = {name: wall(found[name]) for name in ("contourrs", "rasterio")}
    report(
        "vectorize_polygonize",
        ours=wall(found["ours"]),
        limit=peers["contourrs"],
        peers=peers,
        agree=agree,
        rounds=ROUNDS,
        polygons=found["ours"][0].fields["polygons"],
        cpu_s={name: cpu(samples) for name, samples in found.items()},
        peak_mib={name: memory(samples) / 2**20 for name, samples in found.items()},
        cold_s=cold(__file__, "ours").wall_s,
    )


def geoparquet_case() -> None:
    """Time writing the folder, in the raster's CRS and in degrees, against a bare write."""
    import geopandas as gpd  # noqa: PLC0415

    folders = {name: str(BUILD / "vectorize" / f"{name}.parquet") for name in ("utm", "degrees")}
    variants: Mapping[str, Any] = {
        "utm": [EPSG, folders["utm"]],
        "degrees": [4326, folders["degrees"]],
        "bare": [folders["utm"], "snappy"],
        "bare_zstd": [folders["utm"], "zstd"],
    }
    names = {"utm": "folder", "degrees": "folder", "bare_zstd": "bare"}
    found = measure(__file__, variants, rounds=FOLDER_ROUNDS, names=names)
    tables = {name: gpd.read_parquet(folder) for name, folder in folders.items()}
    agree = (
        tables["utm"].crs.to_epsg() == EPSG
        and tables["degrees"].crs.to_epsg() == 4326
        and len(tables["utm"]) == len(tables["degrees"]) == found["utm"][0].fields["polygons"]
        and bool(tables["utm"].is_valid.all())
    )
    limit = wall(found["bare"])
    report(
        "vectorize_geoparquet",
        ours=wall(found["utm"]),
        limit=limit,
        peers={"bare_pyarrow": limit, "bare_pyarrow_zstd": wall(found["bare_zstd"])},
        agree=agree,
        rounds=FOLDER_ROUNDS,
        to_4326_s=wall(found["degrees"]),
        to_4326_vs_limit=wall(found["degrees"]) / limit,
        cpu_s={name: cpu(samples) for name, samples in found.items()},
    )


def pmtiles_case() -> None:
    """Time the vector tiles of the north-western quarter once: they are off the critical path."""
    folder = str(BUILD / "vectorize" / "degrees.parquet")
    sample_once(__file__, "folder", [4326, folder])
    quarter = f"{folder}{QUARTER}"
    found = measure(__file__, {"tiles": [quarter]}, rounds=1)
    tiles = str(found["tiles"][0].fields["tiles"])
    there, told = _areas(tiles, quarter)
    report(
        "vectorize_pmtiles",
        ours=wall(found["tiles"]),
        limit=wall(found["tiles"]),
        peers={},
        agree=abs(told / there - 1) <= TILES_AGREE,
        rounds=1,
        km2={"folder": there / 1e6, "tiles": told / 1e6},
        megabytes=Path(tiles).stat().st_size / 1e6,
        off_the_critical_path=True,
    )


def _areas(tiles: str, folder: str) -> tuple[float, float]:
    """Return the area of a folder's polygons, and of what tiles of the last zoom show of them.

    Both in web Mercator. GDAL reads the tiles and cuts off their buffers; a polygon that tiles cut
    comes in pieces, so areas are compared, not rows.
    """
    import geopandas as gpd  # noqa: PLC0415
    import pyogrio  # noqa: PLC0415

    layers = [name for name, _ in pyogrio.list_layers(tiles)]
    shown = sum(float(pyogrio.read_dataframe(tiles, layer=name).area.sum()) for name in layers)
    return float(gpd.read_parquet(folder).to_crs(3857).area.sum()), shown


CASES = {"polygonize": polygonize_case, "geoparquet": geoparquet_case, "pmtiles": pmtiles_case}


def main() -> None:
    """Run the cases asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_cases(parser, CASES)
    chosen = parser.parse_args().cases or CASES
    labels()
    for case in chosen:
        CASES[case]()


if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
