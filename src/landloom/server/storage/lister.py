"""Listing a bucket by one signed request a page."""

from __future__ import annotations

import os
import ssl
import time
from typing import Final

import httpx

from landloom.errors import Unavailable
from landloom.server.storage.answers import Listing, read_error, read_listing
from landloom.server.storage.layout import SCHEME
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.presign import presigned_url
from landloom.server.storage.refusals import as_ours

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_ATTEMPTS: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.1
_SIGNED_SECONDS: Final = 300
_LONGEST_SECONDS: Final = 60.0
"""For one answer, however it trickles in: the threads that wait are few, and everybody's."""
_LONGEST_BYTES: Final = 16 << 20
"""Of one answer: a thousand of the longest keys, escaped, are 4 MB."""
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Lister:
    """Lists buckets; threads may share it."""

    def __init__(self, *, longest_seconds: float = _LONGEST_SECONDS) -> None:
        self._longest_seconds = longest_seconds
        bundle = os.environ.get("AWS_CA_BUNDLE")
        trusted = ssl.create_default_context(cafile=bundle) if bundle else True
        # A proxy cannot reach this machine's own loopback.
        direct = {f"all://{host}": httpx.HTTPTransport(verify=trusted) for host in _LOOPBACK}
        self._http = httpx.Client(timeout=_TIMEOUT, verify=trusted, mounts=direct)

    def list(self, access: StoreAccess, bucket: str, query: dict[str, str]) -> Listing:
        """Return what ListObjectsV2 answers to `query`.

        Raises:
            NotFound: There is no such bucket.
            Forbidden: The keys give no right to list there.
            Unavailable: The store does not answer.
        """
        uri = f"{SCHEME}{bucket}/{query.get('prefix', '')}"
        status, body = self._answer(access, bucket, query, uri)
        if not httpx.codes.is_success(status):
            raise as_ours(read_error(body, status), uri)
        try:
            return read_listing(body)
        except ValueError as problem:
            raise Unavailable(
                f"What answers for {uri} is no S3 store: {problem}.",
                suggestion="Check the endpoint.",
            ) from problem

    def _answer(
        self, access: StoreAccess, bucket: str, query: dict[str, str], uri: str
    ) -> tuple[int, bytes]:
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            # Signed anew each time: a signature does not last.
            url = presigned_url(access, "GET", bucket, "", seconds=_SIGNED_SECONDS, query=query)
            try:
                status, body = self._once(url, uri)
            except httpx.HTTPError as problem:
                if attempt == _ATTEMPTS:
                    reason = str(problem) or type(problem).__name__
                    raise Unavailable(
                        f"The object store did not answer for {uri}: {reason}.",
                        suggestion="Try again once the store is up.",
                    ) from problem
            else:
                if status not in _PASSING or attempt == _ATTEMPTS:
                    return status, body
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, url: str, uri: str) -> tuple[int, bytes]:
        """Return status and body of one answer.

        Raises:
            httpx.HTTPError: The store does not answer, or breaks off.
            Unavailable: It goes on for longer than a listing can be.
        """
        ends, body = time.monotonic() + self._longest_seconds, bytearray()
        with self._http.stream("GET", url) as answer:
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _LONGEST_BYTES or time.monotonic() > ends:
                    raise Unavailable(
                        f"What answers for {uri} comes to no end.",
                        suggestion="Check the endpoint.",
                    )
        return answer.status_code, bytes(body)
