"""The body of errors, the id of requests, and who is let in."""

from __future__ import annotations

import socket
from datetime import timedelta

import anyio
import httpx
import pytest
from fastapi import FastAPI

from landloom.server import errors
from landloom.server.access import Access
from landloom.server.accounts.auth import admit
from landloom.server.accounts.keys import Keys, add_key
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.metrics.meters import Meters
from tests.api.platform import Platform


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"errors", "requestId"}
    assert body["requestId"] == answer.headers["X-Request-Id"]
    for error in body["errors"]:
        assert error["code"] == code
        assert all(isinstance(error[name], str) for name in ("message", "details", "path"))


class TestWhoIsLetIn:
    def test_without_a_key(self, api: Platform) -> None:
        assert_error(httpx.get(f"{api.url}/runs"), 401, "UNAUTHORIZED_ERROR")

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-API-Key": "ll_wrong"},
            {"X-API-Key": ""},
            {"Authorization": "Bearer ll_wrong"},
            {"Authorization": "Basic abc"},
            {"Authorization": "Bearer"},
        ],
    )
    def test_with_a_wrong_one(self, api: Platform, headers: dict[str, str]) -> None:
        assert_error(httpx.get(f"{api.url}/runs", headers=headers), 401, "UNAUTHORIZED_ERROR")

    @pytest.mark.parametrize("headers", [{}, {"X-API-Key": "ll_wrong"}], ids=["none", "wrong"])
    def test_before_a_body_is_read(self, api: Platform, headers: dict[str, str]) -> None:
        content_type = {"Content-Type": "application/json"}
        for path in ("/runs", "/rasterflow/runs"):
            answer = httpx.post(f"{api.url}{path}", content=b"{", headers=headers | content_type)
            assert_error(answer, 401, "UNAUTHORIZED_ERROR")
        # A body that never comes: whoever waits for it does not answer.
        announced = {"Host": "x", "Content-Length": "1000000", **content_type, **headers}
        address = httpx.URL(api.url)
        with socket.create_connection((address.host, address.port), timeout=60) as line:
            told = "".join(f"{name}: {value}\r\n" for name, value in announced.items())
            line.sendall(f"POST /runs HTTP/1.1\r\n{told}\r\n{{".encode())
            assert line.recv(12) == b"HTTP/1.1 401"

    def test_header_names_in_any_case_and_bearer(self, api: Platform) -> None:
        key = api.admin.api_key
        for headers in ({"x-ApI-kEy": key}, {"authorization": f"bearer {key}"}):
            assert httpx.get(f"{api.url}/users/me", headers=headers).status_code == 200

    def test_revoked_and_expired_keys_open_nothing(self, api: Platform) -> None:
        async def make() -> tuple[str, str]:
            database = Database(api.settings.database)
            keys = Keys(database)
            owner = {"organization_id": api.admin.org_id, "user_id": api.admin.user_id}
            revoked = await keys.create(**owner, name="revoked")
            async with database.writing(api.admin.org_id) as session:
                past = now() - timedelta(seconds=1)
                expired = add_key(session, **owner, name="expired", expires_at=past)
            await keys.revoke(api.admin.org_id, revoked.id)
            valid = [key.valid for key in await keys.list(api.admin.org_id)]
            assert valid.count(True) == 1
            await database.close()
            return revoked.key, expired.key

        for key in anyio.run(make):
            answer = httpx.get(f"{api.url}/runs", headers={"X-API-Key": key})
            assert_error(answer, 401, "UNAUTHORIZED_ERROR")


class TestShape:
    def test_no_such_route(self, api: Platform) -> None:
        assert_error(api.client.get("/nowhere"), 404, "NOT_FOUND_ERROR")

    def test_slashes_are_never_redirected(self, api: Platform) -> None:
        assert_error(api.client.get("/runs/"), 404, "NOT_FOUND_ERROR")

    def test_no_such_run(self, api: Platform) -> None:
        for path in ("/runs/absent", "/runs/absent/logs", "/rasterflow/runs/absent"):
            assert_error(api.client.get(path), 404, "NOT_FOUND_ERROR")
        assert_error(api.client.post("/runs/absent/cancel"), 404, "NOT_FOUND_ERROR")

    def test_wrong_method(self, api: Platform) -> None:
        answer = api.client.delete("/runs")
        assert_error(answer, 405, "BAD_REQUEST_ERROR")
        assert answer.headers["Allow"]

    def test_too_large(self, api: Platform) -> None:
        too_large = b"x" * (5 * 1024 * 1024)

        def in_pieces():
            for start in range(0, len(too_large), 1 << 20):
                yield too_large[start : start + (1 << 20)]

        for content in (too_large, in_pieces()):
            answer = api.client.post("/runs", content=content)
            assert_error(answer, 413, "REQUEST_ENTITY_TOO_LARGE")
        answer = api.client.post("/rasterflow/runs", content=too_large)
        assert_error(answer, 422, "INVALID_INPUT_ERROR")
        answer = api.client.post("/rasterflow/runs", content=too_large * 7)
        assert_error(answer, 413, "REQUEST_ENTITY_TOO_LARGE")

    @pytest.mark.parametrize("path", ["/runs", "/rasterflow/runs", "/usage/costs"])
    @pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded"])
    def test_a_body_that_is_not_told_to_be_json(self, api: Platform, path: str, kind: str) -> None:
        headers = {"Content-Type": kind} if kind else {}
        answer = api.client.post(path, content=b"{}", headers=headers)
        assert_error(answer, 422, "INVALID_INPUT_ERROR")
        assert "Content-Type: application/json" in answer.json()["errors"][0]["message"]

    def test_a_clients_request_id_is_kept_if_it_is_one(self, api: Platform) -> None:
        given = api.client.get("/health", headers={"X-Request-Id": "abc-1"})
        assert given.headers["X-Request-Id"] == "abc-1"
        wild = api.client.get("/health", headers={"X-Request-Id": "a b\tc"})
        assert wild.headers["X-Request-Id"] != "a b\tc"

    async def test_a_bug_is_a_500_that_quotes_nothing(self) -> None:
        app = FastAPI()
        errors.install(app)
        app.add_middleware(Access, meters=Meters(), admit=admit)

        @app.get("/bug")
        async def bug() -> None:
            raise RuntimeError("password=hunter2")

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/bug")
        assert_error(answer, 500, "INTERNAL_SERVER_ERROR")
        assert "hunter2" not in answer.text


class TestSmallRoutes:
    def test_health_needs_no_key(self, api: Platform) -> None:
        answer = httpx.get(f"{api.url}/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"

    def test_me(self, api: Platform) -> None:
        me = api.client.get("/users/me").json()
        assert me["id"] == api.admin.user_id
        assert me["organizationId"] == api.admin.org_id

    def test_organization(self, api: Platform) -> None:
        organization = api.client.get("/organization").json()
        assert organization["id"] == api.admin.org_id
        assert organization["fileStore"]["bucketName"] == "landloom"
        assert organization["storageIntegrations"] == []
        assert organization["defaultRegion"] in organization["allowedRegions"]
        assert organization["defaultRuntime"] == "tiny"
