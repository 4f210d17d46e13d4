"""What is stored is never answered by a 5xx: clients would submit it once more."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from landloom.errors import Unavailable
from landloom.server.dispatch import Dispatcher
from tests.api.cutting_proxy import cutting_proxy
from tests.api.platform import Platform, make_settings, platform


def submit(api: Platform, name: str, **headers: str) -> httpx.Response:
    body = {"name": name, "runPython": {"uri": api.storage.user_path + "absent.py"}}
    return api.client.post("/runs", json=body, headers=headers)


def assert_stored_once(api: Platform, name: str, answer: httpx.Response) -> None:
    assert answer.status_code == 201, answer.text
    listed = api.client.get("/runs", params={"name": name}).json()
    assert [run["id"] for run in listed["items"]] == [answer.json()["id"]]
    assert listed["total"] == 1


def test_a_dispatcher_that_is_not_woken(api: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_dispatcher: Dispatcher) -> None:
        raise RuntimeError("the dispatcher is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Dispatcher, "wake", fail)
        answer = submit(api, "not-woken")
    assert_stored_once(api, "not-woken", answer)


def test_a_run_that_cannot_be_rendered_is_not_stored(
    api: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_document: object) -> bytes:
        raise Unavailable("The run cannot be put into words.")

    with monkeypatch.context() as patched:
        patched.setattr("landloom.server.runs.service.encode", fail)
        assert submit(api, "not-rendered").status_code == Unavailable.status
    assert api.client.get("/runs", params={"name": "not-rendered"}).json()["total"] == 0


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "cut"}], ids=["bare", "with a key"])
def test_a_connection_that_is_cut_behind_the_commit(
    database: str, data_dir: Path, headers: dict[str, str]
) -> None:
    if database != "postgresql":
        pytest.skip("SQLite is asked without a connection that could be cut")
    url = make_url(make_settings(data_dir).database)
    assert url.port is not None
    with cutting_proxy(url.port, b"cut-behind-the-commit") as proxy:
        through = url.set(port=proxy.port).render_as_string(hide_password=False)
        with platform(data_dir, database_url=through) as api:
            answer = submit(api, "cut-behind-the-commit", **headers)
            assert proxy.cuts == 1
            assert_stored_once(api, "cut-behind-the-commit", answer)
