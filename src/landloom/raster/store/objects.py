"""Where a URI's bytes live: `s3://`, `http(s)://`, `file://` and plain paths as obstore stores.

Which store a bucket is, and with whose keys it is read, `buckets` decides.
"""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Full, Queue
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import HTTPStore, LocalStore

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.store.buckets import bucket_store, client_options, retry_config

PAYER_QUERY = "x-amz-request-payer=requester"
"""Query of an s3:// URI whose reader agrees to pay: the name that S3 itself has for it in URLs."""

HELD_PIECES = 4
"""Pieces of an object that wait to be sent."""

COPY_BYTES = 8 << 20
"""What is held of an object while it is copied."""


@dataclass(frozen=True)
class ObjectLocation:
    """An object: the store that holds it and its path there."""

    store: Any
    """An obstore store."""
    path: str
    uri: str
    """What was asked for; it names the object in messages."""

    def joined(self, *parts: str) -> ObjectLocation:
        """Return the location of an object below this one."""
        tail = "/".join(part.strip("/") for part in parts)
        return ObjectLocation(
            self.store, f"{self.path.rstrip('/')}/{tail}", f"{self.uri.rstrip('/')}/{tail}"
        )


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """What a listing says of an object."""

    path: str
    """Below the folder that was listed."""
    size: int
    """Bytes."""
    etag: str
    """Changes with the object's content; where the store has none, the time of its last change."""


def resolve(uri: str) -> ObjectLocation:
    """Return where `uri` lives.

    Raises:
        InvalidInput: The scheme is none of s3, http, https, file.
        StoreProblem: The region of a public bucket cannot be found out.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme if "://" in uri else "file"
    if scheme == "s3":
        payer = parts.query == PAYER_QUERY
        key = parts.path.lstrip("/")
        return ObjectLocation(bucket_store(parts.netloc, payer, key), key, uri)
    if scheme in {"http", "https"}:
        # A query (the signature of a presigned URL) rides on the root: the store keeps it.
        root = f"{scheme}://{parts.netloc}" + (f"?{parts.query}" if parts.query else "")
        return ObjectLocation(_http_store(root), unquote(parts.path.lstrip("/")), uri)
    if scheme == "file":
        path = unquote(parts.path) if uri.startswith("file:") else str(Path(uri).absolute())
        return ObjectLocation(_local_store(), path.lstrip("/"), uri)
    raise InvalidInput(
        f"Cannot open {uri!r}: {scheme}:// is not a store.",
        suggestion="Use s3://, https://, http://, file:// or a path.",
    )


def join(uri: str, *parts: str) -> str:
    """Return the URI of something below `uri`."""
    return "/".join([uri.rstrip("/"), *parts])


def requester_pays(uri: str) -> str:
    """Return an s3:// URI marked so that `resolve` agrees to pay for reading; others stay."""
    if not uri.startswith("s3://") or uri.endswith(f"?{PAYER_QUERY}"):
        return uri
    return f"{uri}?{PAYER_QUERY}"


def local_path(uri: str) -> Path | None:
    """Return the path of a URI on this machine's disk, or None for any other."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri).absolute()


def read_bytes(uri: str) -> bytes:
    """Return a whole object.

    Raises:
        StoreProblem: It is not there, or cannot be read after all retries.
    """
    location = resolve(uri)
    try:
        return bytes(obstore.get(location.store, location.path).bytes())
    except (BaseError, OSError) as error:
        raise _problem("read", uri, error) from error


def write_bytes(uri: str, data: bytes | Iterable[bytes]) -> None:
    """Write a whole object; it appears at once or, if `data` raises, not at all.

    `data` is drawn in the caller's thread, and what does not go to a disk is sent from another, so
    drawing it may read from a store too.

    Raises:
        StoreProblem: It cannot be written after all retries.
    """
    location = resolve(uri)
    try:
        path = local_path(uri)
        if isinstance(data, bytes):
            obstore.put(location.store, location.path, data)
        elif path is None:
            _send(location, data)
        else:
            _write_file(path, data)
    except (BaseError, OSError) as error:
        raise _problem("write", uri, error) from error


def exists(uri: str) -> bool:
    """Return whether there is an object at `uri`.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri)
    try:
        obstore.head(location.store, location.path)
    except FileNotFoundError:
        return False
    except (BaseError, OSError) as error:
        raise _problem("look for", uri, error) from error
    return True


def describe_object(uri: str) -> ObjectEntry:
    """Return what the store says of one object; its path is empty.

    Raises:
        StoreProblem: It is not there, or the store does not answer, or refuses.
    """
    location = resolve(uri)
    try:
        return _entry("", obstore.head(location.store, location.path))
    except (BaseError, OSError) as error:
        raise _problem("look for", uri, error) from error


def list_objects(uri: str) -> Iterator[str]:
    """Yield the URI of every object below `uri`, at any depth, in no order.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri.rstrip("/") + "/")
    prefix = location.path.rstrip("/")
    try:
        for page in obstore.list(location.store, prefix):
            for entry in page:
                yield f"{uri.rstrip('/')}{entry['path'].removeprefix(prefix)}"
    except (BaseError, OSError) as error:
        raise _problem("list", uri, error) from error


def describe_objects(uri: str) -> Iterator[ObjectEntry]:
    """Yield what the store says of every object below `uri`, at any depth, in no order.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri.rstrip("/") + "/")
    prefix = location.path.rstrip("/")
    try:
        for page in obstore.list(location.store, prefix):
            for entry in page:
                below = entry["path"].removeprefix(prefix).lstrip("/")
                yield _entry(below, entry)
    except (BaseError, OSError) as error:
        raise _problem("list", uri, error) from error


def copy_object(source: str, target: str) -> None:
    """Copy an object's bytes as a stream; the copy appears at once or not at all.

    Raises:
        StoreProblem: It is not there, or cannot be read or written after all retries.
    """
    location = resolve(source)
    try:
        chunks = obstore.get(location.store, location.path).stream(COPY_BYTES)
    except (BaseError, OSError) as error:
        raise _problem("read", source, error) from error
    write_bytes(target, (bytes(chunk) for chunk in chunks))


def remove_objects(uri: str) -> None:
    """Remove every object below `uri`, at any depth.

    Raises:
        StoreProblem: The store does not answer, or refuses.
    """
    location = resolve(uri.rstrip("/") + "/")
    prefix = location.path.rstrip("/")
    try:
        for page in obstore.list(location.store, prefix):
            obstore.delete(location.store, [entry["path"] for entry in page])
    except (BaseError, OSError) as error:
        raise _problem("remove", uri, error) from error
    folder = local_path(uri)
    if folder is not None:
        # Only a disk has folders that are left when their files are gone.
        shutil.rmtree(folder, ignore_errors=True)


def _entry(path: str, said: Any) -> ObjectEntry:
    return ObjectEntry(path, int(said["size"]), str(said["e_tag"] or said["last_modified"]))


class _Broken(Exception):
    """What was to be written ended with an error."""


def _write_file(path: Path, data: Iterable[bytes]) -> None:
    """Write a file from pieces as they come, each straight to the system.

    obstore would gather pieces into parts of five megabytes, a dozen of them at a time. Until it is
    whole, the file has the kind of name that obstore gives unfinished ones and never lists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}#{secrets.randbelow(10**12)}")
    try:
        with unfinished.open("xb", buffering=0) as file:
            for piece in data:
                _write_all(file, piece)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write_all(file: io.FileIO, piece: bytes) -> None:
    """Write a piece; the system may take it in several bites."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def _send(location: ObjectLocation, data: Iterable[bytes]) -> None:
    """Write an object from pieces as they come.

    obstore runs an iterable inside its own event loop, where any further call of it panics. So the
    pieces go through a queue to a thread that does nothing else.
    """
    queue: Queue[bytes | _Broken | None] = Queue(HELD_PIECES)

    def pieces() -> Iterator[bytes]:
        while (piece := queue.get()) is not None:
            if isinstance(piece, _Broken):
                raise piece
            yield piece

    with ThreadPoolExecutor(1, thread_name_prefix="send") as sender:
        sent = sender.submit(obstore.put, location.store, location.path, pieces())
        try:
            for piece in data:
                if not _offer(queue, piece, sent):
                    break
        except BaseException:
            _offer(queue, _Broken(), sent)
            raise
        _offer(queue, None, sent)
        sent.result()


def _offer(queue: Queue[Any], piece: bytes | _Broken | None, sent: Future[Any]) -> bool:
    """Hand a piece over as soon as there is room; return False if nobody takes it any more."""
    while not sent.done():
        with suppress(Full):
            queue.put(piece, timeout=0.1)
            return True
    return False


@lru_cache(maxsize=64)
def _http_store(root: str) -> Any:
    options = client_options(allow_http=root.startswith("http://"))
    return HTTPStore(root, client_options=options, retry_config=retry_config())


@lru_cache(maxsize=1)
def _local_store() -> Any:
    return LocalStore(prefix="/", mkdir=True)


def _problem(verb: str, uri: str, error: Exception) -> StoreProblem:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return StoreProblem(
        f"Cannot {verb} {uri}: {reason}",
        suggestion="Check that it exists and that this workload may use it.",
    )
