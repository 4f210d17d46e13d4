"""The client: what it sends, what it tries again, what it makes of refusals."""

import httpx
import pytest

from landloom.cli import client as client_module
from landloom.cli.client import ApiClient
from landloom.cli.connection import Connection
from landloom.errors import InvalidInput, LandloomError, NotFound, Unauthorized, Unavailable

VARIABLES = {"LANDLOOM_URL": "http://127.0.0.1:9/", "WHEROBOTS_API_KEY": "k"}


def refusal(status, code="", message="", **more):
    error = {"code": code, "message": message, "details": "", "path": "/runs", **more}
    return httpx.Response(status, json={"errors": [error], "requestId": "r1"})


def client_of(answer, attempts=3):
    return ApiClient(
        Connection(VARIABLES, "a test"),
        transport=httpx.MockTransport(answer),
        attempts=attempts,
    )


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Tries follow each other at once."""
    monkeypatch.setattr(client_module, "_LONGEST_PAUSE_SECONDS", 0.0)


class TestRequests:
    def test_key_and_client_are_named(self):
        seen = []

        def answer(request):
            seen.append(request)
            return httpx.Response(200, json={"id": "a"})

        with client_of(answer) as client:
            client.create_run({"name": "x"}, region="here")
            client.create_run({"name": "x"})
        assert seen[0].headers["X-API-Key"] == "k"
        assert "landloom-cli" in seen[0].headers["X-Wherobots-Client"]
        assert str(seen[0].url) == "http://127.0.0.1:9/runs?region=here"
        assert str(seen[1].url) == "http://127.0.0.1:9/runs"

    def test_a_listing_goes_over_pages_until_it_has_enough(self):
        def answer(request):
            start = int(request.url.params.get("cursor", 0))
            size = int(request.url.params["size"])
            items = [{"id": str(number)} for number in range(start, min(start + size, 250))]
            more = start + size < 250
            return httpx.Response(
                200, json={"items": items, "next_page": str(start + size) if more else None}
            )

        with client_of(answer) as client:
            assert len(client.runs(limit=130)) == 130
            assert len(client.runs(limit=1000)) == 250

    def test_the_next_cursor_counts_lines(self):
        page = {
            "items": [{"timestamp": 1, "raw": "a"}, {"timestamp": 1, "raw": ""}],
            "current_page": 7,
            "next_page": 9,
        }
        with client_of(lambda _: httpx.Response(200, json=page)) as client:
            assert client.logs("r", 7) == (["a", ""], 9)


class TestTries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_reading_is_tried_again(self, status):
        answers = iter([refusal(status), refusal(status), httpx.Response(200, json={"id": "a"})])
        with client_of(lambda _: next(answers)) as client:
            assert client.run("a") == {"id": "a"}

    def test_cancelling_is_tried_again(self):
        answers = iter([refusal(503), httpx.Response(200, json={"id": "a"})])
        with client_of(lambda _: next(answers)) as client:
            assert client.cancel("a") == {"id": "a"}

    def test_submitting_is_sent_once(self):
        calls = []

        def answer(request):
            calls.append(request)
            return refusal(503, "SERVICE_UNAVAILABLE", "The store is away.")

        with client_of(answer) as client, pytest.raises(Unavailable, match="The store is away"):
            client.create_run({})
        assert len(calls) == 1

    def test_it_gives_up_with_what_the_server_said(self):
        refused = refusal(503, "SERVICE_UNAVAILABLE", "The store is away.", suggestion="Wait.")
        with client_of(lambda _: refused) as client, pytest.raises(Unavailable) as caught:
            client.run("a")
        assert str(caught.value) == "The store is away. Wait."

    def test_a_server_that_says_when_is_believed(self):
        pause = client_module._pause
        assert pause(httpx.Response(429, headers={"Retry-After": "3"}), 1) == 0.0  # the bound
        assert pause(None, 1) == 0.0


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (401, "UNAUTHORIZED_ERROR", Unauthorized),
            (404, "NOT_FOUND_ERROR", NotFound),
            (422, "INVALID_INPUT_ERROR", InvalidInput),
        ],
    )
    def test_they_are_the_errors_of_their_codes(self, status, code, kind):
        with (
            client_of(lambda _: refusal(status, code, "No.")) as client,
            pytest.raises(kind, match="No"),
        ):
            client.run("a")

    def test_all_fields_are_named(self):
        body = {
            "errors": [
                {"code": "INVALID_INPUT_ERROR", "message": "too short", "field": "name"},
                {"code": "INVALID_INPUT_ERROR", "message": "the runtime is unknown"},
            ]
        }
        with (
            client_of(lambda _: httpx.Response(422, json=body)) as client,
            pytest.raises(InvalidInput, match="name: too short; the runtime is unknown"),
        ):
            client.run("a")

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(404, text="<html>nginx</html>"),
            httpx.Response(400, json=["what"]),
            httpx.Response(400, json={"errors": []}),
            httpx.Response(400, json={"errors": "all"}),
        ],
    )
    def test_a_foreign_body_still_gives_a_sentence(self, answer):
        with (
            client_of(lambda _: answer) as client,
            pytest.raises(LandloomError, match="answered with status 40"),
        ):
            client.run("a")

    @pytest.mark.parametrize("body", ["<html>", "[]", "1"])
    def test_what_is_not_landloom_is_told_so(self, body):
        with (
            client_of(lambda _: httpx.Response(200, text=body)) as client,
            pytest.raises(Unavailable, match="not Landloom"),
        ):
            client.run("a")

    def test_nobody_there(self):
        with (
            ApiClient(Connection(VARIABLES, "a test"), attempts=1) as client,
            pytest.raises(Unavailable, match=r"Nothing answers at http://127.0.0.1:9.*landloom up"),
        ):
            client.run("a")
