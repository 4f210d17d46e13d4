"""An object as a file that can be sought in: what is read of it is fetched, and no more."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError

from landloom.errors import StoreProblem
from landloom.raster.store import objects


def open_object(uri: str) -> BinaryIO:
    """Return an object as a file for reading; local ones are opened as they are.

    Every read of a remote one is a request for that range, so readers should ask for large pieces.

    Raises:
        StoreProblem: It is not there, or the store does not answer.
    """
    path = objects.local_path(uri)
    try:
        if path is not None:
            return path.open("rb")
        location = objects.resolve(uri)
        # Not by HEAD: a signed URL is signed for GET alone.
        options: Any = {"range": (0, 1)}
        size = int(obstore.get(location.store, location.path, options=options).meta["size"])
    except (BaseError, OSError) as error:
        raise _problem(uri, error) from error
    return cast("BinaryIO", _Ranged(location, size))


class _Ranged(io.RawIOBase):
    """A remote object, read by ranges."""

    def __init__(self, location: objects.ObjectLocation, size: int) -> None:
        self._location = location
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        store, path = self._location.store, self._location.path
        try:
            piece = bytes(obstore.get_range(store, path, start=self._at, end=end))
        except (BaseError, OSError) as error:
            raise _problem(self._location.uri, error) from error
        self._at += len(piece)
        return piece

    def readall(self) -> bytes:
        return self.read()


def _problem(uri: str, error: Exception) -> StoreProblem:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return StoreProblem(
        f"Cannot read {uri}: {reason}",
        suggestion="Check that it exists and that this workload may use it.",
    )
