"""Presigned URLs against botocore's own, which signs by the same rules."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import pytest
from botocore.config import Config

from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import Addressing, StoreAccess
from landloom.server.storage.presign import presigned_url

AT = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
KEYS = [
    "plain/key.tif",
    "with space",
    "plus+plus&=?#",
    "per%cent%20",
    "ünïcødé/日本語🌍",
    "~tilde*!()'",
]


def access(addressing: Addressing = "path", token: str | None = None) -> StoreAccess:
    keys = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI+secret", token)
    return StoreAccess("https://store.example.org:9000", "eu-west-1", keys, addressing)


def theirs(place: StoreAccess, key: str) -> str:
    keys = place.credentials
    assert keys is not None
    client = boto3.session.Session(
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token,
        region_name=place.region,
    ).client(
        "s3",
        endpoint_url=place.endpoint_url,
        config=Config(s3={"addressing_style": place.addressing}, signature_version="s3v4"),
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=AT.replace(tzinfo=None)):
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": "bucket", "Key": key}, ExpiresIn=900
        )
    return url


def parts(url: str) -> tuple[str, str, dict[str, str]]:
    split = urlsplit(url)
    return split.netloc, unquote(split.path), dict(parse_qsl(split.query))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("addressing", ["path", "virtual"])
@pytest.mark.parametrize("token", [None, "token/with+characters="])
def test_equal_botocores(key: str, addressing: Addressing, token: str | None) -> None:
    place = access(addressing, token)
    ours = presigned_url(place, "GET", "bucket", key, seconds=900, at=AT)
    assert parts(ours) == parts(theirs(place, key))


def test_the_public_address_is_what_is_signed() -> None:
    place = StoreAccess("http://127.0.0.1:1", "r", Credentials("a", "b"), public_url="https://s3.x")
    assert presigned_url(place, "PUT", "bucket", "k", seconds=1).startswith(
        "https://s3.x/bucket/k?"
    )
    # A port that goes without saying is in no Host header.
    place = StoreAccess("https://s3.x:443", "r", Credentials("a", "b"))
    assert presigned_url(place, "PUT", "bucket", "k", seconds=1).startswith(
        "https://s3.x/bucket/k?"
    )


def test_without_keys_it_is_plain() -> None:
    place = StoreAccess("https://s3.x", "r", None, "virtual")
    assert presigned_url(place, "GET", "open", "a b", seconds=60) == "https://open.s3.x/a%20b"


def test_no_url_outlives_seven_days() -> None:
    url = presigned_url(access(), "GET", "bucket", "k", seconds=10**9)
    assert dict(parse_qsl(urlsplit(url).query))["X-Amz-Expires"] == "604800"
