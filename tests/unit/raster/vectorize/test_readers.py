"""The folder opens in the readers that people have, and says of itself what they ask."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import lonboard
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader
from tests.engine.cubes import cube
from tests.engine.vectors import field_scores, vectors

from landloom.errors import SetupProblem
from landloom.raster.vectortiles import tippecanoe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("readers")
    source = cube(root / "p.zarr", field_scores(90, 80), bands=["ground", "field", "edge"])
    vectors(
        source, root / "v.parquet", epsg=4326, stats=True, fiboa=True, pmtiles=True,
        features=("field", "edge"),
    )  # fmt: skip
    return root / "v.parquet"


@pytest.fixture(scope="module")
def table(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(folder)


class TestReaders:
    def test_duckdb_filters_by_the_bbox_struct(self, folder: Path, table: gpd.GeoDataFrame) -> None:
        duckdb = pytest.importorskip("duckdb")
        middle = float(table.bounds["minx"].median())
        query = "SELECT count(*) FROM read_parquet(?) WHERE struct_extract(bbox, 'xmax') < ?"
        ((count,),) = duckdb.connect().execute(query, [f"{folder}/*.parquet", middle]).fetchall()
        assert count == (table.bounds["maxx"] < middle).sum()

    def test_sedona_db_knows_geometry_and_crs(self, folder: Path, table: gpd.GeoDataFrame) -> None:
        sedona = pytest.importorskip("sedonadb")
        frame = sedona.connect().read_parquet(f"{folder}/part-00000.parquet")
        back = frame.to_pandas()
        assert len(back) == len(table)
        assert back.crs.to_epsg() == 4326
        assert shapely.equals(back.geometry.values, table.geometry.values).all()

    def test_lonboard_draws_the_frame_that_leafmap_hands_it(self, table: gpd.GeoDataFrame) -> None:
        (layer,) = lonboard.viz(table).layers
        assert isinstance(layer, lonboard.PolygonLayer)
        drawn = lonboard.PolygonLayer.from_geopandas(table)
        assert drawn.table.num_rows == len(table)
        assert {"time", "label", "score_mean"} <= set(drawn.table.column_names)

    def test_folium_takes_it_with_times_as_texts(self, table: gpd.GeoDataFrame) -> None:
        # GeoJSON has no times: leafmap's folium maps refuse any frame that has some.
        times = table.select_dtypes(["datetime", "datetimetz"]).columns
        document = json.loads(table.astype(dict.fromkeys(times, str)).to_json())
        first = document["features"][0]["properties"]
        assert first["time"].startswith(str(table.time.iloc[0].date()))
        assert len(document["features"]) == len(table)

    def test_qgis_opens_it_by_gdals_driver(self, folder: Path, table: gpd.GeoDataFrame) -> None:
        if "Parquet" not in pyogrio.list_drivers():
            pytest.skip("the GDAL of pyogrio's wheel has no Parquet driver")
        back = pyogrio.read_dataframe(folder / "part-00000.parquet")
        assert len(back) == len(table)

    def test_spark_finds_what_its_reader_asks_for(self, folder: Path) -> None:
        schema = pq.read_schema(folder / "part-00000.parquet")
        geo = json.loads(schema.metadata[b"geo"])
        assert geo["version"] == "1.1.0"
        assert geo["primary_column"] == "geometry"
        column = geo["columns"]["geometry"]
        assert column["encoding"] == "WKB"
        assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
        assert json.loads(schema.metadata[b"fiboa"])["fiboa_version"]
        # Names that begin with _ or . are no data to Spark, pyarrow and DuckDB.
        assert {path.name[:5] for path in folder.glob("*.parquet")} == {"part-"}


class TestOrder:
    def test_neighbours_in_the_file_are_neighbours_on_the_ground(
        self, table: gpd.GeoDataFrame
    ) -> None:
        fields = table[table["label"] == "field"].to_crs(32633)
        xy = shapely.get_coordinates(fields.centroid)
        steps = np.linalg.norm(np.diff(xy, axis=0), axis=1).mean()
        shuffled = np.random.default_rng(0).permutation(xy)
        assert steps < 0.6 * np.linalg.norm(np.diff(shuffled, axis=0), axis=1).mean()


class TestTiles:
    def test_lie_beside_the_folder_a_layer_for_each_label_and_time(self, folder: Path) -> None:
        with folder.with_suffix(".pmtiles").open("rb") as file:
            layers = Reader(MmapSource(file)).metadata()["vector_layers"]
        assert {layer["id"] for layer in layers} == {
            "field-2023-01-01 00:00:00",
            "edge-2023-01-01 00:00:00",
        }

    def test_are_refused_before_any_work_where_tippecanoe_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = cube(tmp_path / "p.zarr", np.ones((1, 8, 8), np.float32), bands=["field"])
        monkeypatch.setattr(tippecanoe.shutil, "which", lambda *_, **__: None)
        with pytest.raises(SetupProblem, match=r"landloom\[tiles\]"):
            vectors(source, tmp_path / "v.parquet", pmtiles=True)
        assert not (tmp_path / "v.parquet").exists()


class TestStartedAgain:
    def test_gives_the_same_folder_byte_by_byte(self, tmp_path: Path) -> None:
        source = cube(tmp_path / "p.zarr", field_scores(60, 70)[1:2], bands=["field"])
        vectors(source, tmp_path / "v.parquet", stats=True, simplify=12)
        part = tmp_path / "v.parquet" / "part-00000.parquet"
        whole = part.read_bytes()
        part.write_bytes(b"what a killed start left")
        (part.parent / "part-00001.parquet").write_bytes(whole)
        vectors(source, tmp_path / "v.parquet", stats=True, simplify=12)
        assert part.read_bytes() == whole
        assert [path.name for path in part.parent.glob("part-*")] == ["part-00000.parquet"]
