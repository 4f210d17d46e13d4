"""kill -9 at random moments, of a real process: what was finished stays, the result is the same."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import geopandas as gpd
import pytest
from geopandas.testing import assert_geodataframe_equal
from tests.engine import pipeline
from tests.engine.cubes import unheard

SHARDS = "variables/c/0/0/*/*"
FINISHED = {
    "mosaic": SHARDS,
    "predict": SHARDS,
    "multiscales": SHARDS,
    "vectorize": "_landloom/tiles/*/0/*/*",
}
"""The files of finished tiles, by stage."""

TILES = 9

SEED = int(os.environ.get("LANDLOOM_TEST_SEED", "0"))
"""Of the moments at which processes are killed."""


@pytest.fixture(autouse=True)
def by_torch(monkeypatch):
    """Which library runs the model is not the question here; this one is ready at once."""
    monkeypatch.setenv("LANDLOOM_RUNTIME", "torch")


def test_killed_in_every_stage_it_goes_on_to_the_same_result(tmp_path):
    whole = pipeline.go(tmp_path / "whole", unheard)
    folder, rng = tmp_path / "killed", random.Random(SEED)
    finished = {}
    for stage in (*FINISHED, None):
        computed, ended = _run(folder, stage, rng)
        assert ended == (0 if stage is None else -9)
        for earlier, files in finished.items():
            assert _kept(files) or earlier == "vectorize"  # whose tiles go when all is written
            if earlier in computed and earlier != "multiscales":  # which tells of copies alike
                assert computed[earlier] == TILES - len(files)
        finished = (
            {stage: _files(folder / "out" / Path(whole[stage]).name, FINISHED[stage])}
            if stage
            else {}
        )
    again = pipeline.go(folder, unheard)
    for stage in FINISHED:
        assert _content(again[stage]) == _content(whole[stage])
    polygons = [gpd.read_parquet(made["vectorize"]) for made in (again, whole)]
    assert_geodataframe_equal(*polygons)


def _run(folder, stage, rng):
    """Run until a random tile of a stage is done, or to the end.

    Returns how many tiles of each stage it computed, by its own words, and how it ended.
    """
    folder.mkdir(exist_ok=True)
    last, pause = rng.randrange(1, TILES), rng.uniform(0, 0.05)
    found, reached = Counter(), Counter()
    command = [sys.executable, "-m", "tests.engine.pipeline", str(folder)]
    root = Path(pipeline.__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, **pipes) as process:
        for line in process.stdout:
            kind, where, done, total = line.split()
            if int(total) == TILES:
                (found if kind == "KEPT" else reached)[where] = int(done)
            if where == stage and reached[where] >= last:
                time.sleep(pause)  # so that it dies anywhere in a tile, not after one only
                process.kill()
                break
            process.stdin.write("\n")
            process.stdin.flush()
        process.communicate()
    return {where: reached[where] - found[where] for where in reached}, process.returncode


def _files(place, pattern):
    """Return the files of finished tiles, with what changes when one is written again."""
    return {path: _written(path) for path in place.glob(pattern)}


def _kept(files):
    return all(path.exists() and _written(path) == written for path, written in files.items())


def _written(path):
    return path.stat().st_mtime_ns, path.stat().st_ino


def _content(uri):
    """Return the bytes of all that is data in an output."""
    root = Path(uri)
    files = [path for path in root.rglob("*") if path.is_file() and "_landloom" not in path.parts]
    return {
        str(path.relative_to(root)): path.read_bytes() for path in files if path.name != "zarr.json"
    }
