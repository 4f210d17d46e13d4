"""`landloom storage` against a running platform and a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from landloom.cli.main import cli
from landloom.errors import Forbidden, InvalidInput, NotFound, SetupProblem
from tests.api.platform import Platform

type Command = Callable[..., Result]


@pytest.fixture
def command(stored: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command as the platform's admin, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "connection.env"
    file.write_text(f"LANDLOOM_URL={stored.url}\nWHEROBOTS_API_KEY={stored.admin.api_key}\n")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["storage", *arguments, "--connection", str(file)])

    return run


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_a_tree_goes_there_and_back(command: Command, stored: Platform, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    files = {"a.txt": b"a", "sub/ü b+%.bin": bytes(3_000_000), "sub/deep/empty": b""}
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    result = command("cp", "-r", "tree", "my:copies")
    done(result)
    assert "Copied 3 files." in result.stderr
    assert [line.split()[-1] for line in done(command("ls", "my:copies")).splitlines()[1:]] == [
        "a.txt",
        "sub/",
    ]
    deep = json.loads(done(command("ls", "-r", "--json", stored.storage.user_path + "copies")))
    assert {each["name"]: each["size"] for each in deep} == {
        name: len(content) for name, content in files.items()
    }
    assert all(each["lastModified"] for each in deep)
    for wrong in (("cp", "my:copies", "back"), ("url", "my:copies")):
        with pytest.raises(InvalidInput, match="my:copies is a folder"):
            raise error(command(*wrong))
    assert not (tmp_path / "back").exists()
    done(command("cp", "-r", "-q", "my:copies/", "back"))
    assert {name: (tmp_path / "back" / name).read_bytes() for name in files} == files
    assert sorted(tmp_path.rglob("*.part")) == []
    with pytest.raises(InvalidInput, match="is a folder"):
        raise error(command("rm", "my:copies/"))
    done(command("rm", "-r", "my:copies"))
    with pytest.raises(NotFound):
        raise error(command("ls", "my:copies"))


def test_single_files_shared_and_by_uri(command: Command, stored: Platform, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "two.txt").write_text("two")
    done(command("cp", "one.txt", "two.txt", "shared:both/"))
    done(command("cp", "one.txt", f"{stored.storage.shared_path}both/three.txt"))
    listed = json.loads(done(command("ls", "shared:both", "--json")))
    assert [each["name"] for each in listed] == ["one.txt", "three.txt", "two.txt"]
    done(command("cp", "shared:both/three.txt", "."))
    assert (tmp_path / "three.txt").read_text() == "one"
    done(command("cp", f"{stored.storage.shared_path}both/two.txt", "renamed.txt"))
    assert (tmp_path / "renamed.txt").read_text() == "two"
    done(command("rm", "shared:both/one.txt"))
    done(command("rm", "-r", "shared:both"))


def test_a_url_is_for_anybody(command: Command, tmp_path: Path) -> None:
    put = done(command("url", "--upload", "my:given.txt")).strip()
    assert httpx.put(put, content=b"given", trust_env=False).status_code == 200
    get = done(command("url", "my:given.txt")).strip()
    assert httpx.get(get, trust_env=False).content == b"given"
    done(command("rm", "given.txt"))


def test_two_files_of_one_name_are_not_copied_over_one_another(
    command: Command, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)
    done(command("cp", "-r", "a", "my:twice/a"))
    done(command("cp", "-r", "b", "my:twice/b"))
    for arguments in (
        ("a/same.txt", "b/same.txt", "my:twice/"),
        ("-r", "a", "b", "my:twice"),
        ("my:twice/a/same.txt", "my:twice/b/same.txt", "."),
    ):
        with pytest.raises(InvalidInput, match="both be"):
            raise error(command("cp", *arguments))
    assert not (tmp_path / "same.txt").exists()
    assert len(json.loads(done(command("ls", "--json", "my:twice")))) == 2
    done(command("rm", "-r", "my:twice"))


def test_after_a_failure_nothing_else_begins(command: Command, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    (many / "A\\").write_text("no store takes this name")
    for number in range(100):
        (many / f"b{number}").write_text("x")
    with pytest.raises(InvalidInput, match="backslash"):
        raise error(command("cp", "-r", "many", "my:begun"))
    (tmp_path / "one").write_text("x")
    done(command("cp", "one", "my:begun/one"))
    assert len(json.loads(done(command("ls", "--json", "my:begun")))) < 100
    done(command("rm", "-r", "my:begun"))


def test_the_innermost_integration_is_meant(command: Command, stored: Platform) -> None:
    asyncio.run(stored.store.ensure_bucket("nested"))
    stored.store.put("nested", "inner/a.txt", b"x")
    admin = stored.store.access.credentials
    shared = {"endpointUrl": stored.store.endpoint, "secretAccessKey": admin.secret_key}
    outer = {"name": "outer", "path": "s3://nested", "accessKeyId": "AKunknown"}
    inner = {"name": "inner", "path": "s3://nested/inner", "accessKeyId": admin.access_key}
    for each in (outer, inner):
        assert stored.client.post("/storage", json=shared | each).status_code == 201
    listed = json.loads(done(command("ls", "--json", "s3://nested/inner/")))
    assert [each["name"] for each in listed] == ["a.txt"]
    for each in ("outer", "inner"):
        done(command("integrations", "remove", each))


def test_what_cannot_be_is_said(command: Command, stored: Platform, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    for kind, arguments in (
        (InvalidInput, ("cp", "here.txt", "there.txt")),
        (InvalidInput, ("cp", "my:a", "my:b")),
        (InvalidInput, ("cp", "folder", "my:b")),
        (InvalidInput, ("cp", "my:", ".")),
        (SetupProblem, ("cp", "absent.txt", "my:")),
        (NotFound, ("cp", "my:absent.txt", ".")),
        (NotFound, ("cp", "-r", "folder", "my:")),
        (NotFound, ("rm", "my:absent.txt")),
        (NotFound, ("url", "my:absent.txt")),
        (NotFound, ("ls", "s3://nobodys-bucket/")),
        (Forbidden, ("url", "--upload", f"s3://landloom/{stored.admin.org_id}/f")),
        (Forbidden, ("rm", "-r", "my:")),
    ):
        assert isinstance(error(command(*arguments)), kind), arguments


def test_help_shows_how(command: Command) -> None:
    for name in ("ls", "cp", "rm", "url"):
        text = CliRunner().invoke(cli, ["storage", name, "--help"]).stdout
        assert f"landloom storage {name}" in text
        assert "my:" in text


def error(result: Result) -> BaseException:
    assert result.exit_code != 0
    assert result.exception is not None
    return result.exception
