"""`RasterflowClient` without a server: the engine in this process, its cache and its plans."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.engine.workflows import PLACE, SAMPLES, WINDOW

from landloom.errors import CatalogProblem
from rasterflow_remote import RasterflowClient


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


def test_a_call_that_fails_says_the_id_of_its_workflow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CatalogProblem):
        RasterflowClient().build_mosaics(["NO_SUCH"], PLACE, **WINDOW)
    assert re.search(r"FAILED ID: [a-z0-9]{20}$", capsys.readouterr().out.strip())
    assert not list(tmp_path.iterdir())
