"""Listings and errors as stores write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from landloom.server.storage.answers import StoredObject, read_error, read_listing

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BODY = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult {namespace}><Name>b</Name><IsTruncated>{more}</IsTruncated>
{quoting}<NextContinuationToken>t+/=</NextContinuationToken>
<Contents><Key>{key}</Key><LastModified>2026-11-22T18:30:48.123Z</LastModified>
<ETag>&quot;x&quot;</ETag><Size>12</Size></Contents>
<CommonPrefixes><Prefix>p/{key}/</Prefix></CommonPrefixes></ListBucketResult>"""


def body(**fields: str) -> bytes:
    usual = {"namespace": NAMESPACE, "more": "true", "quoting": "", "key": "a+b%20c"}
    return BODY.format(**usual | fields).encode()


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_keys_stand_as_they_are(namespace: str) -> None:
    at = datetime(2026, 11, 22, 18, 30, 48, 123000, tzinfo=UTC)
    found = read_listing(body(namespace=namespace))
    assert found.objects == (StoredObject("a+b%20c", 12, at),)
    assert found.folders == ("p/a+b%20c/",)
    assert found.next == "t+/="


def test_quoted_keys_are_read() -> None:
    quoted = body(quoting="<EncodingType>url</EncodingType>", key="a+b%2Bc%0A%C3%BC")
    found = read_listing(quoted)
    assert found.objects[0].key == "a b+c\nü"


def test_the_last_page_has_no_next_one() -> None:
    assert read_listing(body(more="false")).next is None


@pytest.mark.parametrize("text", ["", "<html/>", "not xml", "<!DOCTYPE x><ListBucketResult/>"])
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no listing"):
        read_listing(text.encode())


def test_errors_tell_their_code() -> None:
    assert read_error(b"<Error><Code>AccessDenied</Code></Error>", 403) == "AccessDenied"
    assert read_error(b"oh dear", 503) == "503"
    assert read_error(b"", 404) == "404"
