"""Bytes between this machine and a store, by presigned URLs, with bars that show how far it is."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Final, Self
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
    size: int
    """In bytes."""


class Transfer:
    """Copies files, several at a time; use it in a `with` statement."""

    def __init__(self, drive: Drive, verify: ssl.SSLContext | bool, *, quiet: bool = False) -> None:
        self._drive = drive
        self._verify = verify
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

    def upload(self, jobs: Sequence[Job]) -> None:
        """Send files to the storage.

        Raises:
            InvalidInput: One is larger than a store takes at once; then none is sent.
            Unavailable: The store did not take one.
        """
        for job in jobs:
            if job.size > LARGEST_BYTES:
                raise InvalidInput(
                    f"{job.local} is larger than 5 GiB, which is what a store takes at once.",
                    suggestion="Send it with an S3 tool, which sends it by parts.",
                )
        self._all(self._upload, jobs)

    def download(self, jobs: Sequence[Job]) -> None:
        """Fetch files from the storage; a file is there whole, or not at all.

        Raises:
            NotFound: One is not there.
            Unavailable: The store did not give one.
        """
        self._all(self._download, jobs)

    def _all(self, work: Callable[[Job, TaskID], None], jobs: Sequence[Job]) -> None:
        total = self._progress.add_task(
            f"{len(jobs)} files" if len(jobs) > 1 else jobs[0].local.name,
            total=sum(job.size for job in jobs),
        )
        with ThreadPoolExecutor(_TOGETHER) as threads:
            for done in [threads.submit(work, job, total) for job in jobs]:
                done.result()

    def _upload(self, job: Job, task: TaskID) -> None:
        url = self._drive.upload_url(job.remote)
        with job.local.open("rb") as file, self._store(url, job) as store:
            answer = store.put(
                url,
                content=self._counted(iter(lambda: file.read(_CHUNK_BYTES), b""), task),
                headers={"Content-Length": str(job.size)},
            )
            _require_success(answer, job)

    def _download(self, job: Job, task: TaskID) -> None:
        url = self._drive.download_url(job.remote)
        job.local.parent.mkdir(parents=True, exist_ok=True)
        part = job.local.with_name(f".{job.local.name[:200]}.{token_hex(4)}.part")
        try:
            with self._store(url, job) as store, store.stream("GET", url) as answer:
                _require_success(answer, job)
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

    @contextlib.contextmanager
    def _store(self, url: str, job: Job) -> Iterator[httpx.Client]:
        """Yield a client without our key: the URL is all that the store is to see."""
        try:
            with httpx.Client(
                verify=self._verify,
                timeout=_TIMEOUT,
                # A proxy cannot reach this machine's own loopback.
                trust_env=urlsplit(url).hostname not in _LOOPBACK,
            ) as client:
                yield client
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"{job.remote.shown} was not copied: the store was cut off ({reason}).",
                suggestion="Try again once the platform is up.",
            ) from error


def _require_success(answer: httpx.Response, job: Job) -> None:
    if not answer.is_success:
        raise Unavailable(
            f"The store answered {answer.status_code} to {job.remote.shown}.",
            suggestion="Try again: a URL works for an hour.",
        )
