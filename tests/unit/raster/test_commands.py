"""`landloom raster`: what a person types, sees and pastes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from tests.engine.cubes import cube
from tests.engine.geometry_models import SIDE, blob_finder
from tests.engine.workflows import PLACE, SAMPLES
from typer.testing import CliRunner

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.commands import program
from landloom.raster.commands.program import cli

WINDOW = ("--start=2021-01-01", "--end=2022-01-01", "--crs=32633")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a person works, with an area to work on."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "area.geojson").write_text(json.dumps(PLACE))
    return folder


@pytest.fixture(autouse=True)
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("LANDLOOM_CATALOG", str(SAMPLES / "catalog.toml"))
    monkeypatch.setenv("LANDLOOM_MODELS", str(home / "models"))
    for name in ("LANDLOOM_OUTPUT", "USER_S3_PATH"):
        monkeypatch.delenv(name, raising=False)


def told(*arguments: str) -> str:
    """Return standard output of a command that must pass."""
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def made(home: Path) -> dict[str, str]:
    """URIs of what the commands made, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("LANDLOOM_CATALOG", str(SAMPLES / "catalog.toml"))
        patch.setenv("LANDLOOM_MODELS", str(home / "models"))
        datasets = ("--dataset=SAMPLE_PLANTING", "--dataset=SAMPLE_HARVEST")
        mosaic = json.loads(told("mosaic", "--aoi=area.geojson", *datasets, *WINDOW, "--json"))
        store = mosaic["mosaics"][0]["location"]
        predicted = json.loads(told("predict", store, "--recipe=SAMPLE_FIELDS", "--json"))
        prediction = predicted["mosaics"][0]["location"]
        polygons = told("vectorize", prediction, "--feature=field", "--stats")
    return {
        "mosaic": store,
        "prediction": prediction,
        "polygons": polygons.splitlines()[0],
        "told": polygons,
    }


class TestMaking:
    def test_outputs_lie_where_one_stands_and_open(self, made, home: Path) -> None:
        assert Path(made["mosaic"]).is_relative_to(home / "rasterflow")
        assert xr.open_zarr(made["prediction"])["variables"].dims == ("time", "band", "y", "x")
        assert "score_mean" in gpd.read_parquet(made["polygons"]).columns

    def test_what_is_printed_can_be_pasted(self, made) -> None:
        lines = made["told"].splitlines()
        (line,) = [line.strip() for line in lines if line.strip().startswith("import")]
        space: dict[str, object] = {}
        exec(line.replace("; ", "; found = "), space)  # noqa: S102 - what a person would do
        assert len(space["found"]) == len(gpd.read_parquet(made["polygons"]))

    def test_the_same_command_again_is_a_moment(self, made) -> None:
        result = CliRunner().invoke(
            cli, ["vectorize", made["prediction"], "--feature=field", "--stats"]
        )
        assert result.stdout == made["told"]
        assert "(cached)" in result.stderr

    def test_a_recipe_over_an_area_takes_the_mosaic_that_is_there(self, made) -> None:
        arguments = ("--recipe=SAMPLE_FIELDS", "--aoi=area.geojson", *WINDOW, "--json")
        found = json.loads(told("predict", *arguments))
        assert found["inputs"][0]["location"] == made["mosaic"]

    def test_another_output_folder_gets_it_all(self, made, tmp_path: Path) -> None:
        arguments = ("vectorize", made["prediction"], "--feature=field", f"--output={tmp_path}")
        assert told(*arguments).startswith(str(tmp_path))

    def test_a_plan_says_what_it_would_take_and_makes_nothing(self, home: Path) -> None:
        before = sorted(home.rglob("*"))
        text = told("plan", "--recipe=SAMPLE_FIELDS", "--aoi=area.geojson", *WINDOW)
        assert "EPSG:32633" in text
        assert "Nothing was run." in text
        assert sorted(home.rglob("*")) == before
        assert "Nothing was run." in told(
            "mosaic", "--aoi=area.geojson", "--dataset=SAMPLE_PLANTING", *WINDOW, "--dry-run"
        )


class TestLooking:
    def test_a_store_says_what_it_is_and_where_it_comes_from(self, made) -> None:
        text = told("inspect", made["prediction"])
        assert "complete" in text
        assert "69 x 77 px of 10 in EPSG:32633" in text
        assert "non_field_background" in text
        assert f"from      {made['mosaic']}" in text
        assert "fields.pt2, sha256 " in text

    def test_as_json_it_has_everything(self, made) -> None:
        found = json.loads(told("inspect", made["mosaic"], "--json"))
        values = xr.open_zarr(made["mosaic"])["variables"].sel(band="sample_planting:B04").values
        said = found["statistics"]["bands"]["sample_planting:B04"]
        assert found["statistics"]["of"] == "every pixel"
        assert said["minimum"] == pytest.approx(float(np.nanmin(values)))
        assert said["maximum"] == pytest.approx(float(np.nanmax(values)))
        assert found["provenance"]["datasets"] == ["SAMPLE_PLANTING", "SAMPLE_HARVEST"]

    def test_polygons_are_counted_by_label(self, made) -> None:
        found = json.loads(told("inspect", made["polygons"], "--json"))
        assert found["labels"] == {"field": len(gpd.read_parquet(made["polygons"]))}
        (line,) = [
            each for each in told("inspect", made["polygons"]).splitlines() if " field " in each
        ]
        assert line.split() == ["field", str(found["rows"])]

    def test_an_index_lists_its_stores(self, made) -> None:
        (index,) = Path(made["mosaic"]).parent.glob("*.parquet")
        assert made["mosaic"] in told("inspect", str(index))

    def test_what_is_not_there_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(StoreProblem, match="no mosaic"):
            told("inspect", str(tmp_path / "none.zarr"))
        with pytest.raises(StoreProblem, match="nothing at"):
            told("inspect", str(tmp_path / "none.parquet"))

    def test_an_output_is_made_again_beside_the_first(self, made) -> None:
        uri = told("rerun", made["polygons"]).strip()
        assert uri == made["polygons"].replace(".parquet", "-rerun.parquet")
        assert gpd.read_parquet(uri).equals(gpd.read_parquet(made["polygons"]))


BANDS = ["sample_planting:B04", "sample_planting:B03", "sample_planting:B02"]

CATALOGUE = """
[geometry_recipes.BLOBS]
datasets = ["SAMPLE_PLANTING"]
features = {bands}
patch_size = {side}
clip_size = 2
model = {{ href = "{href}", sha256 = "{sha256}" }}
"""


class TestPrompts:
    """With --prompt a model gives geometries, named by its file or by a recipe."""

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder with a mosaic of one red and one blue thing, a model and its recipe."""
        folder = tmp_path_factory.mktemp("prompts")
        pixels = np.zeros((3, 30, 40), np.float32)
        pixels[0, 4:9, 5:12], pixels[2, 20:24, 30:33] = 150, 250
        cube(folder / "m.zarr", pixels, bands=BANDS)
        model = blob_finder(folder / "blobs.pt2")
        text = CATALOGUE.format(
            bands=json.dumps(BANDS), side=SIDE, href=model.path, sha256=model.sha256
        )
        own = (SAMPLES / "catalog.toml").read_text()
        (folder / "catalog.toml").write_text(own.replace('"imagery', f'"{SAMPLES}/imagery') + text)
        return folder

    @pytest.mark.parametrize(
        "how",
        [
            ("--model=blobs.pt2", *(f"--feature={band}" for band in BANDS),
             f"--patch-size={SIDE}", "--clip-size=2"),
            ("--recipe=BLOBS", "--catalog=catalog.toml"),
        ],
        ids=["model", "recipe"],
    )  # fmt: skip
    def test_find_what_they_name(
        self, place: Path, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(place)
        prompts = ("--prompt=red", "--prompt=blue", "--crs=32633")
        found = json.loads(told("predict", "m.zarr", *how, *prompts, "--json"))
        rows = gpd.read_parquet(found["uri"])
        assert sorted(zip(rows["label"], rows.area, strict=True)) == [
            ("blue", 4 * 3 * 100),
            ("red", 5 * 7 * 100),
        ]
        sure = ("--prompt=red", "--prompt=blue", "--confidence=0.9")
        assert json.loads(told("predict", "m.zarr", *how, *sure, "--json"))["count"] == 1

    def test_a_recipe_over_an_area_plans_its_prompts(self, place: Path) -> None:
        catalogue = f"--catalog={place / 'catalog.toml'}"
        area = ("--aoi=area.geojson", *WINDOW, "--dry-run", "--json")
        asked = ("--recipe=BLOBS", catalogue, "--prompt=red", "--prompt=blue")
        plan = json.loads(told("predict", *asked, *area))["plan"]
        once = json.loads(told("predict", *asked[:3], *area))["plan"]
        assert plan["patches"] == 2 * once["patches"] > 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("mosaic", "--aoi=area.geojson", *WINDOW), "SAMPLE_PLANTING"),
            (("predict", "a.zarr"), "--recipe or --model"),
            (("predict", "--aoi=area.geojson", "--recipe=X"), "--start and --end"),
            (("predict", "a.zarr", "--model=m.onnx"), "model_path"),
            (("predict", "a.zarr", "--recipe=X", "--confidence=0.5"), "needs --prompt"),
            (("vectorize", "a.zarr", "--feature=b", "--config={"), "not JSON"),
            (("vectorize", "a.zarr", "--feature=b", "--threshold=2"), "threshold"),
            (("multiscales", "a.zarr", "--workers=0"), "--workers 0"),
        ],
    )
    def test_name_what_is_wrong(self, arguments: tuple[str, ...], words: str) -> None:
        with pytest.raises(InvalidInput, match=words):
            told(*arguments)

    def test_become_one_line_and_an_exit_code(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["raster", "predict", "a.zarr"])
        with pytest.raises(SystemExit) as ended:
            program.main()
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("landloom: What to run over what is not clear: give a mosaic")


def test_ctrl_c_ends_the_work_and_the_same_command_goes_on(home: Path) -> None:
    aoi = str(SAMPLES / "aoi" / "inn_valley.geojson")
    command = ["mosaic", f"--aoi={aoi}", "--dataset=SAMPLE_PLANTING", *WINDOW]
    environment = os.environ | {"LANDLOOM_SHARD": "64", "LANDLOOM_WORKERS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "landloom.cli", "raster", *command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "mosaic 3/" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert "Give the command again to go on." in rest.splitlines()[-1]
    again = subprocess.run(
        [sys.executable, "-m", "landloom.cli", "raster", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "finished before" in again.stderr
