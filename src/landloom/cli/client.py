"""The Runs API as a Python object, for the commands."""

from __future__ import annotations

import ssl
import time
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from landloom.cli.connection import Connection
from landloom.errors import Forbidden, LandloomError, SetupProblem, Unauthorized, Unavailable
from landloom.errors import by_code as error_by_code

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 8.0
_PASSING = frozenset({429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LOG_PAGE = 1000


class ApiClient:
    """Talks to one platform as one user. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        connection: Connection,
        *,
        transport: httpx.BaseTransport | None = None,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """Make a client; `transport` replaces the network, `attempts` bounds the tries of a GET."""
        self.url = connection.url
        self._attempts = attempts
        self._http = httpx.Client(
            base_url=self.url,
            headers={"X-API-Key": connection.api_key, "X-Wherobots-Client": "client=landloom-cli"},
            timeout=_TIMEOUT,
            verify=trust(connection),
            transport=transport,
            # A proxy cannot reach this machine's own loopback.
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def create_run(self, payload: dict[str, Any], region: str | None = None) -> dict[str, Any]:
        """Submit a run. It is sent once: a second try could make a second run.

        Raises:
            LandloomError: What the server answered, or that it did not.
        """
        parameters = {"region": region} if region else {}
        try:
            response = self._send("POST", "/runs", json=payload, params=parameters)
        except _Passing as passing:
            raise passing.error from passing
        return self._object(response)

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run."""
        return self._object(self._get(f"/runs/{run_id}"))

    def runs(
        self, *, status: list[str] | None = None, name: str | None = None, limit: int = 20
    ) -> list[dict[str, Any]]:
        """Return the newest runs, `limit` of them at most."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            parameters: dict[str, Any] = {"size": min(100, limit - len(found))}
            parameters |= {"status": status} if status else {}
            parameters |= {"name": name} if name else {}
            parameters |= {"cursor": cursor} if cursor else {}
            page = self._object(self._get("/runs", parameters))
            found += page["items"]
            cursor = page["next_page"]
            if not cursor or not page["items"]:
                break
        return found[:limit]

    def logs(self, run_id: str, cursor: int = 0) -> tuple[list[str], int]:
        """Return the lines after the first `cursor`, one page of them, and the next cursor."""
        parameters = {"cursor": cursor, "size": _LOG_PAGE}
        page = self._object(self._get(f"/runs/{run_id}/logs", parameters))
        lines = [str(item["raw"]) for item in page["items"]]
        return lines, cursor + len(lines)

    def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask for the end of a run; asking again changes nothing."""
        return self._object(self._repeat("POST", f"/runs/{run_id}/cancel"))

    def keys(self, *, everybody: bool = False) -> list[dict[str, Any]]:
        """Return the caller's API keys, or those of the whole organization."""
        return self._list(self._get("/organization/apikeys" if everybody else "/apikey"))

    def create_key(self, name: str, expires_at: str, owner: str | None = None) -> dict[str, Any]:
        """Make an API key. It is asked for once: a second try could make a second key.

        Raises:
            LandloomError: What the server answered, or that it did not.
        """
        body = {"name": name, "expiresAt": expires_at} | ({"ownedById": owner} if owner else {})
        return self.ask("POST", "/apikey", body)

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key; one that is revoked stays so."""
        self._repeat("DELETE", f"/apikey/{key_id}")

    def ask_list(self, path: str) -> list[dict[str, Any]]:
        """Return what a path lists."""
        return self._list(self._get(path))

    def location(self, path: str) -> str:
        """Return where a path redirects to; it is not followed, for the key is not for there."""
        return str(self._get(path).headers.get("Location", ""))

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for a change and return what became of it. A POST is sent once, others repeatedly.

        Raises:
            LandloomError: What the server answered, or that it did not.
        """
        if method != "POST":
            return self._object(self._repeat(method, path, json=body))
        try:
            return self._object(self._send(method, path, json=body))
        except _Passing as passing:
            raise passing.error from passing

    def _get(self, path: str, parameters: dict[str, Any] | None = None) -> httpx.Response:
        return self._repeat("GET", path, params=parameters)

    def _repeat(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request that does no harm when sent twice, until it passes or tries run out."""
        for attempt in range(1, self._attempts + 1):
            try:
                return self._send(method, path, **options)
            except _Passing as passing:
                if attempt == self._attempts:
                    raise passing.error from passing
                time.sleep(_pause(passing.response, attempt))
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.ConnectError as error:
            raise _Passing(_no_answer(self.url, error)) from error
        except httpx.HTTPError as error:
            cut_off = Unavailable(f"The request to {self.url} was cut off ({_reason(error)}).")
            raise _Passing(cut_off) from error
        if response.is_success or response.is_redirect:
            return response
        problem = _problem(response)
        if response.status_code in _PASSING:
            raise _Passing(problem, response)
        raise problem

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        return self._body(response, dict)

    def _list(self, response: httpx.Response) -> list[dict[str, Any]]:
        return self._body(response, list)

    def _body[T](self, response: httpx.Response, kind: type[T]) -> T:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, kind):
            raise Unavailable(
                f"What answers at {self.url} is not Landloom.",
                suggestion="Check LANDLOOM_URL.",
            )
        return found


class _Passing(LandloomError):
    """A failure that may be gone at the next try."""

    def __init__(self, error: LandloomError, response: httpx.Response | None = None) -> None:
        super().__init__(error.message, suggestion=error.suggestion)
        self.error = error
        self.response = response


def trust(connection: Connection) -> ssl.SSLContext | bool:
    """Return what to verify servers by: the connection's own roots, else the usual ones.

    Raises:
        SetupProblem: They cannot be read.
    """
    bundle = connection.ca_bundle
    if bundle is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(bundle))
    except (OSError, ssl.SSLError) as error:
        raise SetupProblem(
            f"The certificates in {bundle} cannot be read.",
            suggestion="Source the connection file again, or unset SSL_CERT_FILE.",
        ) from error


def _pause(response: httpx.Response | None, attempt: int) -> float:
    """Return how long to wait: what the server says, else twice as long each time; seconds."""
    said = response.headers.get("Retry-After", "") if response is not None else ""
    wanted = float(said) if said.isdigit() else 0.25 * 2**attempt
    return min(wanted, _LONGEST_PAUSE_SECONDS)


def _no_answer(url: str, error: httpx.ConnectError) -> LandloomError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SetupProblem(
            f"The certificate of {url} is not trusted here.",
            suggestion="Source the connection file of that platform, which names its authority.",
        )
    return Unavailable(
        f"Nothing answers at {url} ({_reason(error)}).",
        suggestion="Start the platform with `landloom up --data DIR`, or check LANDLOOM_URL.",
    )


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _problem(response: httpx.Response) -> LandloomError:
    """Return what the server says is wrong, all of it."""
    try:
        listed = response.json()["errors"]
        first = listed[0]
        message = "; ".join(_one(error) for error in listed)
        code, suggestion = str(first.get("code", "")), str(first.get("suggestion") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Unavailable(
            f"{response.request.method} {response.request.url} was answered with status "
            f"{response.status_code} {response.reason_phrase}."
        )
    kind = error_by_code(code)
    if kind is Unauthorized and not suggestion:
        suggestion = "Source the connection file again: the key may have been replaced."
    if kind is Forbidden and not suggestion:
        suggestion = "Ask an administrator of the organization."
    return kind(message, suggestion=suggestion)


def _one(error: dict[str, Any]) -> str:
    message = str(error.get("message") or error.get("details") or error.get("code"))
    field = error.get("field")
    return f"{field}: {message}" if field and str(field) not in message else message
