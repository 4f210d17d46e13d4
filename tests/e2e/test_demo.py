"""`make demo`, as a newcomer runs it: one command, one picture, lines to paste that work."""

import importlib.util
import json
import subprocess
import sys

import geopandas as gpd
import numpy as np
import psutil
import pytest
import s3fs
import shapely
import torch
import xarray as xr
from PIL import Image
from rasterio import features
from rasterio.transform import Affine

from landloom.stack.connection import read_connection
from tests.e2e.conftest import SAMPLES, landloom, plain_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SEASONS = ("sample_planting", "sample_harvest")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What the demo printed, the folder it worked in, and the processes it left behind."""
    out = tmp_path_factory.mktemp("demo")
    done = landloom("demo", "--out", str(out), timeout=560)
    assert done.returncode == 0, done.stderr
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    left = [command for command in running if any(str(out) in part for part in command)]
    return done, out, left


@pytest.fixture(scope="module")
def result(demo):
    done, _, _ = demo
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def again(demo):
    """The demo's platform started once more on its data: the variables to reach it."""
    _, out, _ = demo
    started = landloom("up", f"--data={out / 'data'}", "--detach")
    assert started.returncode == 0, started.stderr
    yield read_connection(out / "data" / "connection.env")
    landloom("down", f"--data={out / 'data'}")


@pytest.fixture(scope="module")
def opened(again, result):
    """The mosaic's and the prediction's `variables`, in memory."""
    storage = s3fs.S3FileSystem(
        key=again["AWS_ACCESS_KEY_ID"],
        secret=again["AWS_SECRET_ACCESS_KEY"],
        endpoint_url=again["AWS_ENDPOINT_URL"],
    )
    stores = [storage.get_mapper(result[name]) for name in ("mosaic", "prediction")]
    return [xr.open_zarr(store)["variables"].isel(time=0).load() for store in stores]


class TestOutcome:
    def test_is_one_json_object_on_the_last_line(self, result):
        assert list(result) == [
            *("run_id", "status", "mosaic", "prediction", "vectors"),
            *("n_polygons", "picture", "seconds"),
        ]
        assert result["status"] == "COMPLETED"
        assert result["n_polygons"] > 200

    def test_shows_the_log_on_the_way(self, demo):
        done, _, _ = demo
        for stage in ("mosaic", "predict", "vectorize"):
            assert f"[rasterflow] {stage} " in done.stderr

    def test_draws_a_picture(self, result):
        with Image.open(result["picture"]) as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 100

    def test_leaves_no_process(self, demo):
        _, _, left = demo
        assert left == []


class TestLinesToPaste:
    def test_open_what_was_made(self, demo, again):
        done, _, _ = demo
        lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("  import ")]
        assert len(lines) == 2
        pasted = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env=plain_environment() | again,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert pasted.returncode == 0, pasted.stderr


class TestPixels:
    def test_both_seasons_are_there(self, opened):
        mosaic, _ = opened
        for season in SEASONS:
            assert np.isfinite(mosaic.sel(band=f"{season}:B04")).mean() > 0.98

    def test_polygons_are_those_of_one_shot_inference(self, opened, again, result):
        mosaic, prediction = opened
        field = one_shot(mosaic)[1]
        valid = np.isfinite(prediction.sel(band="field").to_numpy())
        np.testing.assert_allclose(
            field[valid], prediction.sel(band="field").to_numpy()[valid], atol=1e-5
        )
        mask = (field >= 0.5) & valid
        step_x = float(mosaic.x[1] - mosaic.x[0])
        step_y = float(mosaic.y[1] - mosaic.y[0])
        corner = Affine.translation(mosaic.x[0] - step_x / 2, mosaic.y[0] - step_y / 2)
        shapes = features.shapes(
            mask.astype(np.uint8), mask=mask, transform=corner @ Affine.scale(step_x, step_y)
        )
        wanted = [shapely.geometry.shape(shape) for shape, _ in shapes]
        found = read_fields(again, result["vectors"])
        assert normalized(found.to_crs(32633).geometry) == normalized(wanted)


def one_shot(mosaic):
    """The rule over the whole mosaic at once, mirrored at its rim as the engine does."""
    path = SAMPLES / "models" / "make_fields_model.py"
    spec = importlib.util.spec_from_file_location("make_fields_model", path)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    bands = [
        mosaic.sel(band=f"{season}:{band}").to_numpy()
        for season in SEASONS
        for band in ("B04", "B03", "B02", "B08")
    ]
    wide = np.pad(np.nan_to_num(np.stack(bands)), ((0, 0), (64, 64), (64, 64)), mode="symmetric")
    with torch.inference_mode():
        reflectance = maker.ToReflectance()(torch.from_numpy(wide)[None])
        return maker.FieldRule()(reflectance).softmax(dim=1)[0].numpy()[:, 64:-64, 64:-64]


def read_fields(connection, uri):
    storage = {
        "key": connection["AWS_ACCESS_KEY_ID"],
        "secret": connection["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": connection["AWS_ENDPOINT_URL"],
    }
    return gpd.read_parquet(uri.removeprefix("s3://"), filesystem=s3fs.S3FileSystem(**storage))


def normalized(geometries):
    """Return comparable polygons: corners to the centimetre, each kind of order taken away."""
    return sorted(
        shapely.to_wkt(shapely.normalize(shapely.set_precision(geometry, 0.01)))
        for geometry in geometries
    )
