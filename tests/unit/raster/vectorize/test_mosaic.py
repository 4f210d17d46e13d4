"""From a stored prediction to a GeoParquet folder that every reader opens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from tests.engine.cubes import ORIGIN_YX, cube, never, unheard
from tests.engine.polygons import fingerprints, rasterio_shapes
from tests.engine.tolerances import PROJECTED_DEGREES

from landloom.errors import Cancelled, InvalidInput
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize import hilbert, spill
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic

HEIGHT, WIDTH = 150, 131


@pytest.fixture(scope="module")
def scores() -> NDArray[np.float32]:
    """Two years of three bands: blobs of all sizes, with holes in the data."""
    rng = np.random.default_rng(11)
    coarse = rng.random((2, 3, 38, 33)).repeat(4, axis=2).repeat(4, axis=3)[:, :, :HEIGHT, :WIDTH]
    mixed = 0.7 * coarse + 0.3 * rng.random((2, 3, HEIGHT, WIDTH))
    mixed[:, :, 40:55, 60:90] = np.nan
    return mixed.astype(np.float32)


@pytest.fixture(scope="module")
def prediction(scores: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> CubeStore:
    folder = tmp_path_factory.mktemp("prediction") / "p.zarr"
    return cube(folder, scores, bands=["ground", "field", "edge"])


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    pool = LocalExecutor(2)
    yield pool
    pool.close()


def vectors(
    source: CubeStore,
    output: Path,
    executor: LocalExecutor,
    *,
    features: tuple[str, ...] = ("field",),
    epsg: int = 32633,
    tile_size: int | None = None,
    **config: object,
) -> gpd.GeoDataFrame:
    """Vectorize, and open the result as a user would."""
    uri, count = vectorize_mosaic(
        source,
        VectorizeConfig.parse(config, list(features), 0.5),
        str(output),
        epsg,
        executor=executor,
        report=unheard,
        warn=unheard,
        cancelled=never,
        tile_size=tile_size,
    )
    table = gpd.read_parquet(uri)
    assert len(table) == count
    return table


class TestShapes:
    def test_are_rasterios_in_the_raster_crs(
        self,
        prediction: CubeStore,
        scores: NDArray[np.float32],
        executor: LocalExecutor,
        tmp_path: Path,
    ) -> None:
        table = vectors(prediction, tmp_path / "v.parquet", executor, tile_size=32)
        gy, gx = ORIGIN_YX
        for year, rows in table.groupby(table["time"].dt.year):
            mask = (scores[year - 2023, 1] >= np.float32(0.5)).astype(np.uint8)
            wanted = [
                shapely.transform(shape, lambda xy: (xy + np.array([gx, gy])) * [10, -10])
                for shape in rasterio_shapes(mask)
            ]
            assert fingerprints(list(rows.geometry)) == fingerprints(wanted)

    def test_are_reprojected_vertex_by_vertex(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        utm = vectors(prediction, tmp_path / "utm.parquet", executor)
        degrees = vectors(prediction, tmp_path / "wgs.parquet", executor, epsg=4326)
        to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
        x, y = to_degrees.transform(*shapely.get_coordinates(utm.geometry).T)
        assert degrees.crs.to_epsg() == 4326
        np.testing.assert_allclose(
            shapely.get_coordinates(degrees.geometry),
            np.stack([x, y], axis=1),
            rtol=0,
            atol=PROJECTED_DEGREES,
        )

    def test_come_in_multipolygons_with_eight_neighbours(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        four = vectors(prediction, tmp_path / "4.parquet", executor)
        eight = vectors(prediction, tmp_path / "8.parquet", executor, connectivity=8, tile_size=32)
        assert set(eight.geom_type) == {"MultiPolygon"}
        assert len(eight) < len(four)
        assert eight.area.sum() == four.area.sum()
        assert eight.is_valid.all()


class TestTable:
    @pytest.mark.parametrize("tile_size", [17, 64, 100])
    def test_is_the_same_for_any_tiling_row_for_row(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path, tile_size: int
    ) -> None:
        features = ("edge", "field")
        one = vectors(
            prediction,
            tmp_path / "1.parquet",
            executor,
            features=features,
            stats=True,
            tile_size=1000,
        )
        two = vectors(
            prediction,
            tmp_path / "2.parquet",
            executor,
            features=features,
            stats=True,
            tile_size=tile_size,
        )
        assert one.equals(two)

    def test_carries_the_contract_columns(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        vectors(prediction, tmp_path / "v.parquet", executor, stats=True, epsg=4326)
        part = tmp_path / "v.parquet" / "part-00000.parquet"
        schema = pq.read_schema(part)
        assert schema.names == [
            "geometry", "time", "label", "bbox",
            "score_mean", "score_min", "score_max", "score_std", "score_count",
        ]  # fmt: skip
        assert schema.field("time").type == pa.timestamp("us")
        geo = json.loads(schema.metadata[b"geo"])
        assert geo["version"] == "1.1.0"
        column = geo["columns"]["geometry"]
        assert column["geometry_types"] == ["Polygon"]
        assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}
        assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]

    def test_bbox_column_is_what_readers_filter_by(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        table = vectors(prediction, tmp_path / "v.parquet", executor, epsg=4326)
        west, south, east, north = table.total_bounds
        window = (west, south, (west + east) / 2, (south + north) / 2)
        near = gpd.read_parquet(tmp_path / "v.parquet", bbox=window)
        assert 0 < len(near) < len(table)
        boxes = shapely.box(*table.bounds.to_numpy().T)
        assert len(near) == shapely.intersects(boxes, shapely.box(*window)).sum()
        boxes = pq.read_table(tmp_path / "v.parquet")["bbox"].to_pylist()
        np.testing.assert_array_equal(
            [[box[key] for key in ("xmin", "ymin", "xmax", "ymax")] for box in boxes],
            table.bounds.to_numpy(),
        )

    def test_score_mean_is_that_of_the_pixels(
        self,
        prediction: CubeStore,
        scores: NDArray[np.float32],
        executor: LocalExecutor,
        tmp_path: Path,
    ) -> None:
        table = vectors(prediction, tmp_path / "v.parquet", executor, stats=True, tile_size=16)
        assert (table["score_mean"] >= 0.5).all()
        assert (table["score_count"] * 100 == table.area).all()
        band = scores[0, 1].astype(np.float64)
        wanted = band[band >= 0.5].sum()
        first = table[table["time"].dt.year == 2023]
        total = (first["score_mean"] * first["score_count"]).sum()
        assert total == pytest.approx(wanted, rel=1e-6)

    def test_parts_stay_small_and_leave_nothing_stale(
        self,
        prediction: CubeStore,
        executor: LocalExecutor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "v.parquet").mkdir()
        (tmp_path / "v.parquet" / "part-00999.parquet").write_bytes(b"of an earlier run")
        monkeypatch.setattr(hilbert, "CELL_BITS", 5)
        monkeypatch.setattr(spill, "SMALLEST_PART_ROWS", 200)
        monkeypatch.setattr(spill, "STRETCH_ROWS", 100)
        table = vectors(prediction, tmp_path / "v.parquet", executor)
        names = sorted(path.name for path in (tmp_path / "v.parquet").glob("part*"))
        assert names == [f"part-{number:05d}.parquet" for number in range(len(names))]
        assert len(names) > 1
        monkeypatch.undo()
        whole = vectors(prediction, tmp_path / "w.parquet", executor)
        assert fingerprints(list(table.geometry)) == fingerprints(list(whole.geometry))

    def test_is_valid_when_there_is_nothing_in_it(
        self, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        source = cube(tmp_path / "p.zarr", np.full((1, 20, 20), np.nan, np.float32))
        table = vectors(source, tmp_path / "v.parquet", executor, features=("b0",), stats=True)
        assert len(table) == 0
        assert table.crs.to_epsg() == 32633
        assert "score_mean" in table.columns


class TestRefusals:
    def test_names_the_bands_there_are(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidInput, match="ground, field, edge"):
            vectors(prediction, tmp_path / "v.parquet", executor, features=("fields",))

    def test_knows_no_such_crs(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidInput, match="EPSG:123456"):
            vectors(prediction, tmp_path / "v.parquet", executor, epsg=123456)

    def test_stops_when_cancelled(
        self, prediction: CubeStore, executor: LocalExecutor, tmp_path: Path
    ) -> None:
        with pytest.raises(Cancelled):
            vectorize_mosaic(
                prediction,
                VectorizeConfig.parse({}, ["field"], 0.5),
                str(tmp_path / "v.parquet"),
                4326,
                executor=executor,
                report=unheard,
                warn=unheard,
                cancelled=lambda: True,
            )
        assert not (tmp_path / "v.parquet").exists()
