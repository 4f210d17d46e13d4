"""Every option together with every other: rows are the same for any tiling and any workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from tests.engine.cubes import cube
from tests.engine.vectors import field_scores, vectors

BANDS = ("ground", "field", "edge")

metres = st.sampled_from([4.0, 10.0, 17.0, 60.0])
areas = st.sampled_from([150.0, 900.0, 20_000.0])
watersheds = st.one_of(
    st.just(True),
    st.fixed_dictionaries(
        {"surface": st.just("distance"), "depth": st.sampled_from([3.0, 10.0, 25.0])}
    ),
    st.fixed_dictionaries(
        {"surface": st.just("score"), "depth": st.sampled_from([0.02, 0.1, 0.3])}
    ),
)


def some(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these options, or none."""
    return st.fixed_dictionaries({}, optional=options)


shared = {
    "stats": st.booleans(),
    "simplify": metres,
    "min_area_m2": areas,
    "close_holes": st.one_of(st.just(True), areas),
}
configs = st.one_of(
    some(**shared, connectivity=st.sampled_from([4, 8]), max_area_m2=st.just(30_000.0)),
    some(**shared, fiboa=st.booleans(), watershed=watersheds, max_area_m2=st.just(30_000.0)),
    some(**shared, connectivity=st.sampled_from([4, 8]), medial_skeletonize=st.just(True)),
    some(**shared, watershed=watersheds, medial_skeletonize=st.just(True)),
)


@st.composite
def grounds(draw: st.DrawFn) -> NDArray[np.float32]:
    """Scores (band, y, x): fields and their edges, a network, or noise; some without a value."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 110))
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    kind = draw(st.sampled_from(["fields", "network", "noise"]))
    if kind == "fields":
        scores = field_scores(max(height, 20), max(width, 20), int(rng.integers(1000)))
        scores = scores[:, :height, :width]
    else:
        smooth = 2.0 if kind == "network" else 0.4
        noise = ndimage.gaussian_filter(rng.random((3, height, width)), (0, smooth, smooth))
        order = np.argsort(np.argsort(noise.reshape(3, -1), axis=1), axis=1)
        scores = ((order + 1) / order.shape[1]).reshape(noise.shape).astype(np.float32)
    if draw(st.booleans()):
        scores[:, rng.random((height, width)) < 0.02] = np.nan
        scores[:, : height // 3, width // 2 : width // 2 + 3] = np.nan
    return scores


origins = st.tuples(st.integers(-535_600, -534_400), st.integers(49_400, 50_600))
"""Lattice indexes: the blocks of simplification, and the nodes of projection, lie anywhere."""

PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
"""Shrinking takes minutes and brings little here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tilings")


@settings(max_examples=16, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    scores=grounds(),
    origin=origins,
    config=configs,
    tile_size=st.integers(3, 70),
    workers=st.integers(1, 3),
    epsg=st.sampled_from([32633, 4326]),
)
def test_rows_are_those_of_the_untiled_raster(
    folder: Path,
    scores: NDArray[np.float32],
    origin: tuple[int, int],
    config: dict[str, Any],
    tile_size: int,
    workers: int,
    epsg: int,
) -> None:
    place = folder / str(len(list(folder.iterdir())))
    gy, gx = origin
    store = cube(
        place / "p.zarr",
        scores,
        bands=list(BANDS),
        shard=128,
        origin_yx=(-535_000 + gy, 50_000 + gx),
    )
    said = {"features": BANDS, "epsg": epsg, **config}
    whole = vectors(store, place / "whole.parquet", tile_size=4096, workers=1, **said)
    tiled = vectors(store, place / "tiled.parquet", tile_size=tile_size, workers=workers, **said)
    assert whole.equals(tiled)
    assert whole.is_valid.all()
    tables = [pq.read_table(place / f"{name}.parquet") for name in ("whole", "tiled")]
    assert tables[0].equals(tables[1])
    _check(whole, config, epsg)


def _check(rows: gpd.GeoDataFrame, config: dict[str, Any], epsg: int) -> None:
    """Hold rows against what was asked for."""
    if config.get("medial_skeletonize"):
        assert set(rows.geom_type) <= {"LineString"}
        return
    if config.get("close_holes") is True:
        assert not shapely.get_num_interior_rings(shapely.get_parts(rows.geometry)).any()
    if epsg != 32633:
        return
    if not config.keys() & {"close_holes", "watershed"} and config.get("connectivity", 4) == 4:
        for _, layer in rows.groupby("label"):
            assert shapely.coverage_is_valid(np.asarray(layer.geometry))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    seed=st.integers(0, 9999),
    origin=origins,
    config=st.fixed_dictionaries({"simplify": metres, "watershed": st.booleans()}),
    tile_size=st.integers(3, 70),
)
def test_simplified_neighbours_share_their_edges_across_bands(
    folder: Path, seed: int, origin: tuple[int, int], config: dict[str, Any], tile_size: int
) -> None:
    """Fields, ground and edges cover the raster; simplified they still do, without a gap."""
    place = folder / str(len(list(folder.iterdir())))
    store = cube(place / "p.zarr", field_scores(60, 70, seed), bands=list(BANDS), origin_yx=origin)
    rows = vectors(store, place / "v.parquet", features=BANDS, tile_size=tile_size, **config)
    shapes = np.asarray(rows.geometry)
    assert shapely.coverage_is_valid(shapes)
    whole = shapely.coverage_union_all(shapes)
    assert whole.geom_type == "Polygon"
    assert not whole.interiors
    outline = shapely.box(*store.geobox.extent.boundingbox)  # its corners may be cut, too
    assert shapely.hausdorff_distance(whole.exterior, outline.exterior) <= config["simplify"]
