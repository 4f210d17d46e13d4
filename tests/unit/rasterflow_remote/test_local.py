"""`RasterflowClient` without a server: the engine in this process, its cache and its plans."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from tests.engine.cubes import cube
from tests.engine.workflows import PLACE, SAMPLES, WINDOW

from landloom.errors import CatalogProblem
from rasterflow_remote import RasterflowClient
from vtiles import show_pmtiles


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LANDLOOM_URL", "LANDLOOM_OUTPUT", "USER_S3_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANDLOOM_CATALOG", str(SAMPLES / "catalog.toml"))
    monkeypatch.setenv("LANDLOOM_MODELS", str(tmp_path / "models"))


def test_the_same_call_again_gets_the_same_store_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = RasterflowClient().build_mosaics(["SAMPLE_PLANTING"], PLACE, **WINDOW)
    assert "COMPLETED ID:" in capsys.readouterr().out
    again = RasterflowClient().build_mosaics(["SAMPLE_PLANTING"], PLACE, **WINDOW)
    assert again == first
    assert again.result.cached
    assert "COMPLETED (cached) ID:" in capsys.readouterr().out
    assert (tmp_path / "rasterflow" / "cache").is_dir()
    anew = RasterflowClient(cache=False).build_mosaics(["SAMPLE_PLANTING"], PLACE, **WINDOW)
    assert anew != first
    assert not anew.result.cached


def test_a_dry_run_prints_a_table_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = RasterflowClient(dry_run=True)
    planned = client.build_mosaics(["SAMPLE_PLANTING"], PLACE, **WINDOW)
    text = capsys.readouterr().out
    assert planned == ""
    assert "1 SAMPLE_PLANTING" in text
    assert "Nothing was run." in text
    assert not list(tmp_path.iterdir())


class TestVectorTiles:
    @pytest.fixture
    def prediction(self, tmp_path: Path) -> str:
        scores = np.zeros((1, 40, 40), np.float32)
        scores[0, 10:20, 10:20] = 0.9
        return cube(tmp_path / "p.zarr", scores, bands=["field"]).uri

    def test_of_no_polygons_are_an_archive_without_tiles(
        self, prediction: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = {"pmtiles": True, "min_area_m2": 1e9}
        made = RasterflowClient().vectorize_mosaic(prediction, ["field"], vectorize_config=config)
        assert made.result.count == 0
        assert gpd.read_parquet(made.uri).empty
        assert show_pmtiles(made.pmtiles_uri).tiles == 0
        assert f"Vector tiles at {made.pmtiles_uri}" in capsys.readouterr().out

    def test_of_the_cache_are_there_too(self, prediction: str) -> None:
        config = {"pmtiles": True}
        first, again = (
            RasterflowClient().vectorize_mosaic(prediction, ["field"], vectorize_config=config)
            for _ in range(2)
        )
        assert again.result.cached
        assert again.pmtiles_uri == first.pmtiles_uri
        assert show_pmtiles(first.pmtiles_uri).layers == ("field-2023-01-01 00:00:00",)
        Path(first.pmtiles_uri).unlink()
        RasterflowClient().vectorize_mosaic(prediction, ["field"], vectorize_config=config)
        assert show_pmtiles(first.pmtiles_uri).tiles > 0

    def test_are_none_unless_asked_for(self, prediction: str) -> None:
        assert RasterflowClient().vectorize_mosaic(prediction, ["field"]).pmtiles_uri == ""


def test_a_folder_of_this_machine_is_one_with_a_dot_in_front_too(tmp_path: Path) -> None:
    made = RasterflowClient().build_mosaics(["SAMPLE_PLANTING"], PLACE, bucket="./mine", **WINDOW)
    assert made.startswith(f"{tmp_path}/mine/")
    assert (Path(made) / "zarr.json").is_file()


def test_a_call_that_fails_says_the_id_of_its_workflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CatalogProblem):
        RasterflowClient().build_mosaics(["NO_SUCH"], PLACE, **WINDOW)
    assert re.search(r"FAILED ID: [a-z0-9]{20}$", capsys.readouterr().out.strip())
    assert not list(tmp_path.iterdir())
