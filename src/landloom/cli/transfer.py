"""Bytes between this machine and a store, by presigned URLs, with bars that show how far it is."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from landloom.cli.drive import Drive, Remote
from landloom.errors import InvalidInput, Unavailable

LARGEST_BYTES: Final = 5 << 30
"""What S3 takes by one PUT."""

_TOGETHER: Final = 4
_CHUNK_BYTES: Final = 1 << 20
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Job:
    """One file to copy."""

    local: Path
    remote: Remote
    size: int | None = None
    """In bytes; None of a remote one until it comes."""


class Transfer:
    """Copies files, several at a time; use it in a `with` statement."""

    def __init__(self, drive: Drive, verify: ssl.SSLContext | bool, *, quiet: bool = False) -> None:
        self._drive = drive
        self._verify = verify
        self._lock = threading.Lock()
        self._clients: dict[bool, httpx.Client] = {}
        """By whether they go through the proxy, if there is one."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._progress.stop()
        for client in self._clients.values():
            client.close()

    def upload(self, jobs: Sequence[Job]) -> None:
        """Send files to the storage.

        Raises:
            InvalidInput: One is larger than a store takes at once, or two would be one file there;
                then none is sent.
            Unavailable: The store did not take one.
        """
        _require_apart((job.remote, job.remote.shown) for job in jobs)
        for job in jobs:
            if _size(job) > LARGEST_BYTES:
                raise InvalidInput(
                    f"{job.local} is larger than 5 GiB, which is what a store takes at once.",
                    suggestion="Send it with an S3 tool, which sends it by parts.",
                )
        self._all(self._upload, jobs)

    def download(self, jobs: Sequence[Job]) -> None:
        """Fetch files from the storage; a file is there whole, or not at all.

        Raises:
            InvalidInput: Two would be one file here; then none is fetched.
            NotFound: One is not there.
            Unavailable: The store did not give one.
        """
        _require_apart((job.local, str(job.local)) for job in jobs)
        self._all(self._download, jobs)

    def _all(self, work: Callable[[Job, TaskID], None], jobs: Sequence[Job]) -> None:
        total = self._progress.add_task(
            f"{len(jobs)} files" if len(jobs) > 1 else jobs[0].local.name,
            total=sum(job.size or 0 for job in jobs),
        )
        threads = ThreadPoolExecutor(_TOGETHER)
        try:
            for done in as_completed([threads.submit(work, job, total) for job in jobs]):
                done.result()
        finally:
            # After a failure or Ctrl-C, what has begun goes to its end, and nothing else begins.
            threads.shutdown(cancel_futures=True)

    def _upload(self, job: Job, task: TaskID) -> None:
        url = self._drive.upload_url(job.remote)
        with job.local.open("rb") as file, self._store(url, job) as store:
            answer = store.put(
                url,
                content=self._counted(iter(lambda: file.read(_CHUNK_BYTES), b""), task),
                headers={"Content-Length": str(_size(job))},
            )
            _require_success(answer, job)

    def _download(self, job: Job, task: TaskID) -> None:
        url = self._drive.download_url(job.remote)
        job.local.parent.mkdir(parents=True, exist_ok=True)
        part = job.local.with_name(f".{job.local.name[:200]}.{token_hex(4)}.part")
        try:
            with self._store(url, job) as store, store.stream("GET", url) as answer:
                _require_success(answer, job)
                if job.size is None:
                    self._expect(int(answer.headers.get("Content-Length", 0)), task)
                with part.open("wb") as file:
                    for chunk in self._counted(answer.iter_bytes(_CHUNK_BYTES), task):
                        file.write(chunk)
            part.replace(job.local)
        finally:
            part.unlink(missing_ok=True)

    def _counted(self, chunks: Iterable[bytes], task: TaskID) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self._progress.advance(task, len(chunk))

    def _expect(self, size: int, task: TaskID) -> None:
        """Add to what a bar counts up to."""
        with self._lock:
            total = self._progress.tasks[task].total or 0
            self._progress.update(task, total=total + size)

    def _client(self, url: str) -> httpx.Client:
        """Return a client without our key: the URL is all that the store is to see."""
        # A proxy cannot reach this machine's own loopback.
        by_proxy = urlsplit(url).hostname not in _LOOPBACK
        with self._lock:
            if by_proxy not in self._clients:
                self._clients[by_proxy] = httpx.Client(
                    verify=self._verify, timeout=_TIMEOUT, trust_env=by_proxy
                )
            return self._clients[by_proxy]

    @contextlib.contextmanager
    def _store(self, url: str, job: Job) -> Iterator[httpx.Client]:
        """Yield what sends requests to a URL of the store; tell of a job what fails meanwhile."""
        try:
            yield self._client(url)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"{job.remote.shown} was not copied: the store was cut off ({reason}).",
                suggestion="Try again once the platform is up.",
            ) from error


def _size(job: Job) -> int:
    return job.local.stat().st_size if job.size is None else job.size


def _require_apart(places: Iterable[tuple[Any, str]]) -> None:
    """Refuse to write two files to one place: which of them stayed would be chance."""
    seen = set()
    for place, shown in places:
        if place in seen:
            raise InvalidInput(
                f"Two files would both be {shown}.",
                suggestion="Copy them one by one, each to a name of its own.",
            )
        seen.add(place)


def _require_success(answer: httpx.Response, job: Job) -> None:
    if not answer.is_success:
        raise Unavailable(
            f"The store answered {answer.status_code} to {job.remote.shown}.",
            suggestion="Try again: a URL works for an hour.",
        )
