"""`python -m landloom.raster.models`: what a person sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.exported import Net, Tenth, exported
from tests.engine.geometry_models import blob_finder
from tests.engine.workflows import SAMPLES
from typer.testing import CliRunner

from landloom.errors import InvalidInput
from landloom.raster.models.commands import cli


@pytest.fixture(autouse=True)
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LANDLOOM_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("LANDLOOM_CATALOG", raising=False)
    return tmp_path / "models"


def told(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


class TestList:
    def test_marks_what_nobody_verified(self) -> None:
        text = told("list")
        assert "FTW" in text
        assert "feature order unverified" in text
        assert "landloom models add FTW FILE.pt2" in text

    def test_shows_what_was_added(self) -> None:
        path = SAMPLES / "models" / "fields.pt2"
        assert "sha256" in told("add", "ftw", str(path))
        assert "registered as ftw" in told("list")


class TestCheck:
    def test_says_what_a_model_takes_and_gives(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net(), transforms=Tenth())
        text = told("check", str(file.path))
        assert "(any, 2, 32, 32) -> (any, 3, 32, 32)" in text
        assert "transforms" in text
        assert "batch 1 to 64" in text
        assert "archive version  0" in text
        assert file.sha256 in text

    def test_says_what_would_run_it(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net())
        (line,) = [line for line in told("check", str(file.path)).splitlines() if "run by" in line]
        assert "openvino" in line
        assert "patches of 32 px at a time" in line

    def test_says_which_recipe_it_fits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANDLOOM_CATALOG", str(SAMPLES / "catalog.toml"))
        text = told("check", str(SAMPLES / "models" / "fields.pt2"))
        (line,) = [line for line in text.splitlines() if line.startswith("fits")]
        assert "SAMPLE_FIELDS" in line
        assert "FTW" in line  # the same counts of bands, labels and pixels

    def test_says_why_it_does_not_fit_the_recipe_that_was_asked(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net())
        result = CliRunner().invoke(cli, ["check", str(file.path), "--recipe", "FTW"])
        assert result.exit_code == 1
        assert "does not fit     m.pt2 has 2 input channels, but" in result.output

    def test_takes_a_name_that_was_registered(self, tmp_path: Path) -> None:
        file = exported(tmp_path / "m.pt2", Net())
        told("add", "mine", str(file.path))
        assert file.sha256 in told("check", "mine")

    def test_refuses_a_device_that_none_is_named(self) -> None:
        with pytest.raises(InvalidInput, match="no device 'tpu'"):
            told("check", str(SAMPLES / "models" / "fields.pt2"), "--device", "tpu")

    def test_refuses_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="no file"):
            told("check", str(tmp_path / "m.pt2"))

    def test_knows_models_that_answer_text_prompts(self, tmp_path: Path) -> None:
        file = blob_finder(tmp_path / "finder.pt2")
        text = told("check", str(file.path))
        assert "answers text prompts of up to 4 tokens over images of 3 channels, 16 x 16" in text
        assert "SAM3_TEXT_GEOMETRY" in text
        assert "fits" in told("check", str(file.path), "--recipe", "SAM3_TEXT_BBOX")
