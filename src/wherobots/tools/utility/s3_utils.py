"""Links to objects, for what fetches by HTTP and knows no keys: maps, browsers, `pd.read_csv`."""

from __future__ import annotations

from datetime import timedelta
from os import PathLike, fspath
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.store import objects

DEFAULT_SECONDS = 3600

LONGEST_SECONDS = 7 * 24 * 3600
"""What signature version 4 of S3 allows at most."""


def get_url(path: str | PathLike[str], expires_in: float | timedelta = DEFAULT_SECONDS) -> str:
    """Return a URL by which anybody can fetch an object until it expires.

    Args:
        path: `s3://bucket/key`; a file's path or URL, and an http(s) URL, are returned as URLs.
        expires_in: Seconds, or a timedelta, up to seven days.

    Returns:
        A presigned URL at the endpoint that the environment names for the bucket; of a public
        bucket the plain URL, which never expires.

    Raises:
        InvalidInput: `path` names no object, or `expires_in` is out of range.
        StoreProblem: There are no keys to sign with.
    """
    uri = fspath(path)
    scheme = urlsplit(uri).scheme if "://" in uri else "file"
    if scheme in {"http", "https"}:
        return uri
    if scheme == "file":
        return _file_url(uri)
    if scheme not in {"s3", "s3a", "s3n"}:
        raise InvalidInput(
            f"Cannot make a URL of {uri!r}: {scheme}:// is not a store.",
            suggestion="Pass s3://bucket/key or a file's path.",
        )
    bucket, _, key = uri.partition("://")[2].partition("/")
    if not bucket or not key.strip("/"):
        raise InvalidInput(
            f"{uri!r} names no object.", suggestion="Pass s3://bucket/key, with both."
        )
    return _sign(f"s3://{bucket}/{key}", _life(expires_in))


def _sign(uri: str, life: timedelta) -> str:
    location = objects.resolve(uri)
    config = location.store.config
    if config.get("skip_signature") in {True, "true"}:
        in_host = config.get("virtual_hosted_style_request") in {True, "true"}
        place = config["endpoint"] if in_host else f"{config['endpoint']}/{config['bucket']}"
        return f"{place}/{quote(location.path)}"
    try:
        return str(obstore.sign(location.store, "GET", location.path, life))
    except (BaseError, OSError) as error:
        raise StoreProblem(
            # What is below the first line is for those who mend the store's client.
            f"Cannot sign a URL of {uri}: {str(error).partition('\n')[0]}",
            suggestion="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run it as a job.",
        ) from error


def _life(expires_in: float | timedelta) -> timedelta:
    life = expires_in if isinstance(expires_in, timedelta) else timedelta(seconds=expires_in)
    if not timedelta(seconds=1) <= life <= timedelta(seconds=LONGEST_SECONDS):
        raise InvalidInput(
            f"A URL cannot expire in {life.total_seconds():g} s.",
            suggestion=f"Give between 1 and {LONGEST_SECONDS} seconds: S3 signs for no longer.",
        )
    return life


def _file_url(uri: str) -> str:
    path = Path(unquote(urlsplit(uri).path) if uri.startswith("file://") else uri).expanduser()
    if not uri or not path.exists():
        raise InvalidInput(
            f"There is no file {uri!r}.", suggestion="Pass s3://bucket/key or a file."
        )
    return path.absolute().as_uri()
