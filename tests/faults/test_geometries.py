"""kill -9 in the middle of a search for geometries: no piece is looked at again, none is lost."""

import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
from geopandas.testing import assert_geodataframe_equal

from tests.engine import finding


def test_killed_at_any_piece_it_goes_on_to_the_same_rows(tmp_path, rounds):
    whole = tmp_path / "whole"
    finding.ground(whole / "c.zarr")
    assert _run(whole)[1] == 0
    expected = gpd.read_parquet(whole / "out.parquet")
    assert len(expected) > 100
    for number, chance in enumerate(rounds):
        folder = tmp_path / str(number)
        finding.ground(folder / "c.zarr")
        last = chance.randrange(finding.PIECES)
        (none, done, total), ended = _run(folder, last, chance.uniform(0, 0.01))
        assert (none, total, ended) == (0, finding.PIECES, -9)
        kept = {path: _written(path) for path in folder.rglob("*.arrow")}
        assert len(kept) >= done >= last
        stays = []
        (first, *_), ended = _run(folder, watch=lambda k=kept, s=stays: s.append(_unchanged(k)))
        assert (first, ended) == (len(kept), 0)  # what was finished is not looked at again
        assert all(stays)
        assert_geodataframe_equal(gpd.read_parquet(folder / "out.parquet"), expected)


def _run(folder: Path, last: int | None = None, pause: float = 0.0, watch=lambda: None):
    """Run until so many pieces are done, or to the end.

    Returns how many were done at first and at last, of how many, and how it ended.
    """
    command = [sys.executable, "-m", "tests.engine.finding", str(folder)]
    root = Path(finding.__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    figures = []
    with subprocess.Popen(command, cwd=root, **pipes) as process:
        for line in process.stdout:
            figures.append([int(word) for word in line.split()])
            if last is not None and figures[-1][0] >= last:
                time.sleep(pause)  # so that it dies anywhere in a piece, not after one only
                process.kill()
                break
            watch()
            process.stdin.write("\n")
            process.stdin.flush()
        process.communicate()
    return (figures[0][0], *figures[-1]), process.returncode


def _unchanged(kept: dict[Path, tuple[int, int]]) -> bool:
    """Tell whether files are there as they were."""
    return all(path.exists() and _written(path) == at for path, at in kept.items())


def _written(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_ino
