"""Model files are remembered by checksum, fetched once, and refused when they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import pytest

from landloom.errors import InvalidInput, ModelRejected, ModelUnavailable
from landloom.raster.models.registry import ModelRegistry, sha256_of
from landloom.raster.models.resolve import resolve_model


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the URL of a file server on loopback and the folder it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "models")


def weights(path: Path, content: bytes = b"weights") -> Path:
    """Write a zip that says of itself what a model archive does, and no more."""
    with ZipFile(path, "w") as archive:
        archive.writestr("m/archive_version", "0")
        archive.writestr("m/data/weights/weight_0", content)
    return path


class TestRegistered:
    def test_answer_for_the_recipe_and_for_the_url(
        self, registry: ModelRegistry, tmp_path: Path
    ) -> None:
        registry.add("FTW", weights(tmp_path / "a.pt2", b"a"))
        registry.add("other-ep.pt2", weights(tmp_path / "b.pt2", b"b"))
        url = "https://models.invalid/x/other-ep.pt2"
        by_recipe, by_url = (
            resolve_model(url, None, registry, "ftw"),
            resolve_model(url, None, registry),
        )
        assert by_recipe.path.read_bytes() == (tmp_path / "a.pt2").read_bytes()
        assert by_url.path.read_bytes() == (tmp_path / "b.pt2").read_bytes()
        assert set(registry.registered()) == {"FTW", "other-ep.pt2"}

    def test_are_replaced_by_adding_again(self, registry: ModelRegistry, tmp_path: Path) -> None:
        registry.add("m", weights(tmp_path / "a.pt2", b"a"))
        added = registry.add("M", weights(tmp_path / "a.pt2", b"b"))
        found = registry.find(["m"])
        assert found is not None
        assert found.sha256 == added.sha256 == sha256_of(tmp_path / "a.pt2")

    def test_are_refused_once_they_changed_on_disk(
        self, registry: ModelRegistry, tmp_path: Path
    ) -> None:
        added = registry.add("m", weights(tmp_path / "a.pt2"))
        added.path.write_bytes(b"tampered")
        with pytest.raises(ModelRejected) as refusal:
            registry.find(["m"])
        assert added.sha256 in str(refusal.value)
        assert sha256_of(added.path) in str(refusal.value)

    def test_are_refused_where_the_catalogue_wants_others(
        self, registry: ModelRegistry, tmp_path: Path
    ) -> None:
        registry.add("m", weights(tmp_path / "a.pt2"))
        with pytest.raises(ModelRejected, match="the catalogue wants " + "0" * 64):
            resolve_model("https://models.invalid/m.pt2", "0" * 64, registry)

    @pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
    def test_have_names_that_are_file_names(
        self, registry: ModelRegistry, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(InvalidInput, match="cannot name a model"):
            registry.add(name, weights(tmp_path / "a.pt2"))

    def test_are_pt2_files(self, registry: ModelRegistry, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"not a \.pt2 file"):
            registry.add("m", weights(tmp_path / "a.onnx"))

    def test_are_archives(self, registry: ModelRegistry, tmp_path: Path) -> None:
        whole = weights(tmp_path / "whole.pt2").read_bytes()
        for name, content in {"text": b"weights", "half": whole[: len(whole) // 2]}.items():
            (tmp_path / f"{name}.pt2").write_bytes(content)
            with pytest.raises(ModelRejected, match=rf"{name}\.pt2 is not a \.pt2 archive"):
                registry.add("m", tmp_path / f"{name}.pt2")
        with ZipFile(tmp_path / "state.pt2", "w") as archive:
            archive.writestr("state/data.pkl", b"")
        with pytest.raises(ModelRejected, match="does not say its archive version"):
            registry.add("m", tmp_path / "state.pt2")
        assert not registry.registered()


class TestDownloads:
    def test_are_fetched_once(self, registry: ModelRegistry, served: tuple[str, Path]) -> None:
        root, folder = served
        content = weights(folder / "m.pt2").read_bytes()
        first = resolve_model(f"{root}/m.pt2", None, registry)
        (folder / "m.pt2").unlink()
        again = resolve_model(f"{root}/m.pt2", None, registry)
        assert again == first
        assert first.path.read_bytes() == content

    def test_are_pinned(self, registry: ModelRegistry, served: tuple[str, Path]) -> None:
        root, folder = served
        weights(folder / "m.pt2", b"first")
        first = resolve_model(f"{root}/m.pt2", None, registry)
        first.path.unlink()
        weights(folder / "m.pt2", b"second")
        with pytest.raises(ModelUnavailable) as refusal:
            resolve_model(f"{root}/m.pt2", None, registry)
        assert first.sha256 in str(refusal.value)
        assert sha256_of(folder / "m.pt2") in str(refusal.value)
        lock = json.loads((registry.folder / "models.json").read_text())
        assert lock["pinned"] == {f"{root}/m.pt2": first.sha256}

    def test_that_fail_name_the_file_to_bring_and_the_command(
        self, registry: ModelRegistry, served: tuple[str, Path]
    ) -> None:
        url = f"{served[0]}/there-is-none.pt2"
        with pytest.raises(ModelUnavailable) as failure:
            resolve_model(url, None, registry, "FTW")
        assert url in failure.value.message
        assert "FTW" in failure.value.message
        assert "there-is-none.pt2" in failure.value.suggestion
        assert "landloom models add FTW FILE.pt2" in failure.value.suggestion
        assert not list(registry.folder.rglob("*.pt2"))


class TestPaths:
    def test_are_used_where_they_lie(self, registry: ModelRegistry, tmp_path: Path) -> None:
        path = weights(tmp_path / "a.pt2")
        assert resolve_model(str(path), None, registry).path == path
        assert resolve_model(path.as_uri(), None, registry).path == path

    def test_that_lead_nowhere_are_told(self, registry: ModelRegistry, tmp_path: Path) -> None:
        with pytest.raises(ModelUnavailable, match="no model file"):
            resolve_model(str(tmp_path / "a.pt2"), None, registry)
