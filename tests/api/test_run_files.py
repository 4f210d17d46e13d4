"""Files that a run brings along, and what becomes of one that cannot be had."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.api.platform import Platform, eventually


@pytest.fixture(autouse=True)
def without_a_network(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path_factory.mktemp("index")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())


def put(api: Platform, name: str, content: bytes) -> dict[str, Any]:
    """Put a file into the admin's folder; return the dependency that names it."""
    path = api.store.root / api.settings.bucket / api.storage.private_prefix / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"sourceType": "FILE", "filePath": api.storage.user_path + name}


def archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
    return content.getvalue()


def wheel(name: str, code: str) -> bytes:
    info = f"{name}-1.0.dist-info"
    return archive(
        {
            f"{name}.py": code,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
    )


def failed(api: Platform, *dependencies: dict[str, Any]) -> tuple[str, list[str]]:
    """Submit with these; return what the event of the failure says, and the log."""
    run = api.submit("print('never')\n", environment={"dependencies": list(dependencies)})
    done = api.finished(run["id"])
    event = done["kubeApp"]["events"][-1]
    assert (done["status"], event["code"]) == ("FAILED", "RUN_FAIL_PREPARE")
    lines = api.lines(run["id"])
    assert "never" not in lines
    return event["message"], lines


class TestFiles:
    def test_wheels_zips_and_documents_are_there_for_the_script(self, api: Platform) -> None:
        dependencies = [
            put(api, "landloom_wheeled-1.0-py3-none-any.whl", wheel("landloom_wheeled", "it = 1")),
            put(api, "zipped.ZIP", archive({"landloom_zipped/__init__.py": "it = 2"})),
            put(api, "deep/settings.json", b'{"it": 3}'),
            put(api, "library.jar", archive({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0"})),
        ]
        run = api.submit(
            "import json, os, pathlib, landloom_wheeled, landloom_zipped\n"
            "place = pathlib.Path('/opt/wherobots/settings.json')\n"
            "if not place.exists():\n"
            "    place = pathlib.Path(os.environ['LANDLOOM_DOCUMENTS'], 'settings.json')\n"
            "it = json.loads(place.read_text())['it']\n"
            "print(landloom_wheeled.it, landloom_zipped.it, it)\n"
            "conf = pathlib.Path(os.environ['SPARK_CONF_DIR'], 'spark-defaults.conf')\n"
            "print(*conf.read_text().split(), sep='\\n')\n",
            environment={"dependencies": dependencies, "sparkConfigs": {"spark.x": "some words"}},
        )
        kinds = [each["fileType"] for each in run["payload"]["environment"]["dependencies"]]
        assert kinds == ["PYTHON_WHEEL", "ZIP", "OTHER", "JAR"]
        done = api.finished(run["id"])
        lines = api.lines(run["id"])
        assert done["status"] == "COMPLETED", lines
        assert "1 2 3" in lines
        jar = str(api.settings.workloads_dir / run["id"] / "jars" / "library.jar")
        assert lines[lines.index("spark.driver.extraClassPath") + 1].endswith(jar)
        assert lines[-3:] == ["spark.x", "some", "words"]

    def test_two_runs_at_once_see_their_own_document_of_one_name(self, api: Platform) -> None:
        script = (
            "import os, pathlib, sys, time\n"
            "place = pathlib.Path('/opt/wherobots/same.json')\n"
            "if not place.exists():\n"
            "    place = pathlib.Path(os.environ['LANDLOOM_DOCUMENTS'], 'same.json')\n"
            "print(place.read_text(), flush=True)\n"
            "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)\n"
            "print(place.read_text())\n"
        )
        go = api.settings.data_dir / "go"
        runs = []
        for name in ("one", "two"):
            document = put(api, f"{name}/same.json", json.dumps(name).encode())
            environment = {"dependencies": [document]}
            runs.append(api.submit(script, args=[str(go)], environment=environment)["id"])
        eventually(lambda: [api.lines(run) for run in runs], all)
        go.touch()
        for run, name in zip(runs, ("one", "two"), strict=True):
            assert api.finished(run)["status"] == "COMPLETED"
            assert api.lines(run)[-2:] == [f'"{name}"'] * 2


class TestProblems:
    def test_an_object_that_is_not_there(self, api: Platform) -> None:
        uri = api.storage.user_path + "none.whl"
        message, lines = failed(api, {"filePath": uri})
        assert uri in message
        assert any(uri in line for line in lines)

    def test_a_wheel_that_is_none_is_told_in_the_installers_words(self, api: Platform) -> None:
        message, lines = failed(api, put(api, "bad-1.0-py3-none-any.whl", b"no wheel"))
        assert "cannot be installed" in message
        assert any("bad-1.0-py3-none-any.whl" in line for line in lines)

    def test_a_zip_that_is_none(self, api: Platform) -> None:
        message, _ = failed(api, put(api, "bad.zip", b"no archive"))
        assert "bad.zip is not a zip archive" in message

    def test_two_of_one_name(self, api: Platform) -> None:
        message, _ = failed(api, put(api, "a/x.json", b"1"), put(api, "b/x.json", b"2"))
        assert "would both be x.json" in message

    def test_the_platforms_own_files_are_not_to_be_had(self, api: Platform, tmp_path: Path) -> None:
        hidden = api.settings.data_dir / "secrets.json"
        hidden.write_text("{}")
        link = tmp_path / "link.json"
        link.symlink_to(hidden)
        for path in (hidden, link):
            message, _ = failed(api, {"filePath": str(path)})
            assert "nor an absolute path that runs may read" in message

    def test_a_version_that_conflicts_with_everything(self, api: Platform) -> None:
        dependencies = [
            {"libraryName": "psutil", "libraryVersion": "==1.0"},
            {"libraryName": "psutil", "libraryVersion": ">2"},
        ]
        message, lines = failed(api, *dependencies)
        assert "psutil" in message
        assert any("unsatisfiable" in line for line in lines)
