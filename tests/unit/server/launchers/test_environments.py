"""Versions as locked files; made for real from a wheel of the test's own, without a network."""

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from landloom.errors import InvalidInput, SetupProblem
from landloom.server.launchers import environments
from landloom.server.launchers.environments import (
    ensure_environment,
    find_version,
    locked_environments,
)
from landloom.server.launchers.installer import DependencyProblem

PYTHON = Path(sys.executable)


@pytest.fixture(autouse=True)
def without_a_network(tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))


@pytest.fixture
def lock(tmp_path):
    """Write a locked file; nothing is remembered of it afterwards."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    yield write
    environments._read.cache_clear()


def test_without_files_both_are_the_platforms_own():
    found = locked_environments({})
    assert {name: each.version for name, each in found.items()} == {
        "latest": version("landloom"),
        "preview": version("landloom"),
    }


def test_each_names_its_file_and_one_alone_names_both(lock):
    latest, preview = lock("a.txt", "# version: 1.4.0\n"), lock("b.txt", "x\n# version: 2.0rc1\n")
    both = locked_environments({"latest": latest, "preview": preview})
    assert [both[name].version for name in ("latest", "preview")] == ["1.4.0", "2.0rc1"]
    alone = locked_environments({"latest": latest})
    assert alone["preview"] == alone["latest"]
    for name in ("preview", "2.0rc1"):
        assert find_version(name, both).lock == preview
    with pytest.raises(InvalidInput, match="no version 'old'") as refused:
        find_version("old", both)
    assert "1.4.0, 2.0rc1, latest, preview" in refused.value.suggestion


def test_two_files_of_one_version_are_refused(lock):
    one, other = lock("a.txt", "# version: 1\nsix\n"), lock("b.txt", "# version: 1\nattrs\n")
    with pytest.raises(SetupProblem, match="both say that they are 1"):
        locked_environments({"latest": one, "preview": other})


@pytest.mark.parametrize("text", ["six==1.0\n", "# version:\n", "# version: a b\n"])
def test_a_file_without_a_version_is_refused(lock, text):
    with pytest.raises(SetupProblem, match="does not say which version"):
        locked_environments({"latest": lock("a.txt", text)})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SetupProblem, match=r"none\.txt cannot be read"):
        locked_environments({"latest": tmp_path / "none.txt"})


async def test_an_environment_is_made_once_and_can_import_the_client(lock, tmp_path):
    info = "landloom_demo-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "landloom_demo-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("landloom_demo.py", "words = 'locked'")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: landloom_demo\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    path = lock("a.txt", "# version: 1.4.0\nlandloom-demo==1.0\n")
    locked = locked_environments({"latest": path})["latest"]
    python, lines = await ensure_environment(locked, python=PYTHON, cache_dir=tmp_path / "cache")
    assert any("landloom-demo==1.0" in line for line in lines)
    code = "import landloom_demo, landloom.errors; print(landloom_demo.words)"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert said.stdout == "locked\n"
    again = await ensure_environment(locked, python=PYTHON, cache_dir=tmp_path / "cache")
    assert again == (python, ())


async def test_one_that_takes_too_long_is_given_up(lock, tmp_path):
    locked = locked_environments({"latest": lock("a.txt", "# version: 1\nlandloom-none==3\n")})
    cache = tmp_path / "cache"
    with pytest.raises(DependencyProblem, match=r"environment 1 took longer than 0\.01 seconds"):
        await ensure_environment(
            locked["latest"], python=PYTHON, cache_dir=cache, timeout_seconds=0.01
        )
    assert list(cache.glob("environments/*")) == []


async def test_a_file_that_cannot_be_installed_is_told_in_the_installers_words(lock, tmp_path):
    locked = locked_environments({"latest": lock("a.txt", "# version: 1\nlandloom-none==3\n")})
    with pytest.raises(DependencyProblem, match="environment 1 cannot be made") as problem:
        await ensure_environment(locked["latest"], python=PYTHON, cache_dir=tmp_path / "cache")
    assert any("landloom-none" in line for line in problem.value.lines)
