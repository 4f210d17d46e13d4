"""Our API before a store: listing a folder of 100,000 objects, and 1,000 presigned URLs.

Four cases, on a real platform with its own store:

- `storage_list`: the whole folder by pages of 1,000. The limit is the store's own listing: the same
  pages by signed requests whose answers nobody reads. Peers read them: boto3's paginator, obstore.
- `storage_list_last_page`: the last page against the first one, which is the limit.
- `storage_urls`: a URL each for 1,000 keys by one request. The limit is signing them in this
  process, without an API; the peer is boto3 doing so.
- `storage_urls_singly`: 300 requests for one URL each on one connection. The limit is as many
  requests for the caller's own name, which are the same but for the URL.

Agreement: the same 100,000 names by each way, and every URL works for its key.

    python bench/storage.py [--objects 100000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import httpx
import obstore
from botocore.config import Config
from obstore.store import S3Store

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import Run, Sample, main_or_variant, measure, report, wall
from bench.platforms import platform

from landloom.server.storage.admin import Credentials
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.presign import presigned_url

FOLDER = "many/"
HOME = "/storage/user_files"
PAGE = 1000
URLS = 1000
SINGLY = 300
TOGETHER = 64
EDGE_PAGES = 20
"""Times that the first and the last page are asked for, for one sample."""


class Known:
    """What a variant is told about the platform: its `connection.env` as JSON."""

    def __init__(self, text: str) -> None:
        self.env: dict[str, str] = json.loads(text)
        self.bucket, _, home = self.env["USER_S3_PATH"].removeprefix("s3://").partition("/")
        self.prefix = home + FOLDER
        self.access = StoreAccess(
            self.env["AWS_ENDPOINT_URL"],
            self.env["AWS_REGION"],
            Credentials(self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"]),
        )

    def api(self) -> httpx.Client:
        """Return a client of the API with its connection open."""
        client = httpx.Client(
            base_url=self.env["LANDLOOM_URL"],
            headers={"X-API-Key": self.env["WHEROBOTS_API_KEY"]},
            timeout=120,
            trust_env=False,
        )
        client.get("/users/me").raise_for_status()
        return client

    def boto3(self) -> Any:
        return boto3.session.Session(
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_REGION"],
        ).client(
            "s3",
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )

    def obstore(self) -> S3Store:
        return S3Store(
            self.bucket,
            endpoint=self.env["AWS_ENDPOINT_URL"],
            access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region=self.env["AWS_REGION"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    @property
    def keys(self) -> list[str]:
        """As many keys as URLs are asked for, as the API takes them."""
        return [f"{self.bucket}/{self.prefix}{n}.tif" for n in range(URLS)]


def names_of(names: Sequence[str]) -> dict[str, Any]:
    """Return what tells a listing from another."""
    return {"count": len(names), "sum": zlib.crc32("\n".join(sorted(names)).encode())}


def list_ours(text: str) -> Run:
    client = Known(text).api()

    def run() -> dict[str, Any]:
        names, cursor = [], None
        while True:
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"{HOME}/directories/{FOLDER}", params=query).json()
            names += [item["name"] for item in page["items"]]
            cursor = page["next_page"]
            if cursor is None:
                return names_of(names)

    return run


def list_limit(text: str) -> Run:
    known = Known(text)
    client = httpx.Client(trust_env=False, timeout=60)

    def run() -> dict[str, Any]:
        pages, token = 0, ""
        while True:
            query = {"list-type": "2", "prefix": known.prefix, "delimiter": "/", "max-keys": "1000"}
            query |= {"continuation-token": token} if token else {}
            url = presigned_url(known.access, "GET", known.bucket, "", seconds=60, query=query)
            body = client.get(url).content
            pages += 1
            _, found, rest = body.partition(b"<NextContinuationToken>")
            token = rest.partition(b"<")[0].decode()
            if not found or not token:
                return {"pages": pages}

    return run


def list_boto3(text: str) -> Run:
    known = Known(text)
    client = known.boto3()

    def run() -> dict[str, Any]:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=known.bucket, Prefix=known.prefix, Delimiter="/"
        )
        start = len(known.prefix)
        return names_of([each["Key"][start:] for page in pages for each in page["Contents"]])

    return run


def list_obstore(text: str) -> Run:
    known = Known(text)
    store = known.obstore()

    def run() -> dict[str, Any]:
        found = obstore.list_with_delimiter(store, known.prefix)["objects"]
        start = len(known.prefix)
        return names_of([each["path"][start:] for each in found])

    return run


def edge_pages(text: str, which: str, cursor: str) -> Run:
    """Ask for one page over and over: the first one, or that at `cursor`."""
    client = Known(text).api()
    query = {"limit": str(PAGE)} | ({"cursor": cursor} if which == "last" else {})

    def run() -> dict[str, Any]:
        for _ in range(EDGE_PAGES):
            page = client.get(f"{HOME}/directories/{FOLDER}", params=query).raise_for_status()
        return {"items": len(page.json()["items"])}

    return run


def urls_ours(text: str) -> Run:
    known = Known(text)
    client = known.api()

    def run() -> dict[str, Any]:
        made = client.post("/files/upload-urls", json=known.keys).raise_for_status().json()
        return {"urls": [each["uploadUrl"] for each in made]}

    return run


def urls_limit(text: str) -> Run:
    known = Known(text)
    keys = [key.partition("/")[2] for key in known.keys]

    def run() -> dict[str, Any]:
        made = [presigned_url(known.access, "PUT", known.bucket, key, seconds=3600) for key in keys]
        return {"urls": made}

    return run


def urls_boto3(text: str) -> Run:
    known = Known(text)
    client = known.boto3()

    def run() -> dict[str, Any]:
        named = [{"Bucket": known.bucket, "Key": key.partition("/")[2]} for key in known.keys]
        made = [client.generate_presigned_url("put_object", Params=each) for each in named]
        return {"urls": made}

    return run


def singly_ours(text: str) -> Run:
    known = Known(text)
    client = known.api()

    def run() -> dict[str, Any]:
        made = [
            client.post("/files/upload-url", params={"key": key}).json()["uploadUrl"]
            for key in known.keys[:SINGLY]
        ]
        return {"urls": made}

    return run


def singly_limit(text: str) -> Run:
    client = Known(text).api()

    def run() -> None:
        for _ in range(SINGLY):
            client.get("/users/me").raise_for_status()

    return run


VARIANTS = {
    "list_ours": list_ours,
    "list_limit": list_limit,
    "list_boto3": list_boto3,
    "list_obstore": list_obstore,
    "edge": edge_pages,
    "urls_ours": urls_ours,
    "urls_limit": urls_limit,
    "urls_boto3": urls_boto3,
    "singly_ours": singly_ours,
    "singly_limit": singly_limit,
}


async def fill(known: Known, objects: int) -> None:
    """Put so many small objects into one folder."""
    store, numbers = known.obstore(), iter(range(objects))

    async def writer() -> None:
        for number in numbers:
            await obstore.put_async(store, f"{known.prefix}{number:06}.tif", b"x")

    await asyncio.gather(*(writer() for _ in range(TOGETHER)))


def last_cursor(known: Known) -> str:
    """Return the cursor of the folder's last full page."""
    cursors, cursor = [""], None
    with contextlib.closing(known.api()) as client:
        while True:
            query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
            page = client.get(f"{HOME}/directories/{FOLDER}", params=query).json()
            cursor = page["next_page"]
            if cursor is None:
                return cursors[-1] if len(page["items"]) == PAGE else cursors[-2]
            cursors.append(cursor)


def right(known: Known, urls: Sequence[str]) -> bool:
    """Say whether there is a URL for each key, in order, and the last one takes a file."""
    paths = [unquote(urlsplit(url).path) for url in urls]
    with httpx.Client(trust_env=False) as client:
        taken = client.put(urls[-1], content=b"x").is_success
    return taken and paths == [f"/{key}" for key in known.keys[: len(urls)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with platform() as bench:
        text = json.dumps(bench.connection)
        known = Known(text)
        begun = time.perf_counter()
        asyncio.run(fill(known, asked.objects))
        print(f"filled in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        arguments: dict[str, Sequence[object]] = {
            name: [text] for name in VARIANTS if name != "edge"
        }
        arguments |= {"first": [text, "first", ""], "last": [text, "last", last_cursor(known)]}
        found = measure(
            __file__, arguments, rounds=asked.rounds, names={"first": "edge", "last": "edge"}
        )
        urls = {
            label: all(right(known, sample.fields["urls"]) for sample in found[label])
            for label in ("urls_ours", "urls_boto3", "singly_ours")
        }
    tell_listings(found, asked.objects, asked.rounds)
    tell_urls(found, urls, asked.rounds)


def tell_listings(found: dict[str, list[Sample]], objects: int, rounds: int) -> None:
    ways = ("list_ours", "list_boto3", "list_obstore")
    listed = [dict(sample.fields) for label in ways for sample in found[label]]
    report(
        "storage_list",
        ours=wall(found["list_ours"]),
        limit=wall(found["list_limit"]),
        peers={"boto3": wall(found["list_boto3"]), "obstore": wall(found["list_obstore"])},
        agree=listed == [listed[0]] * len(listed) and listed[0]["count"] == objects,
        rounds=rounds,
        objects=objects,
    )
    items = {sample.fields["items"] for label in ("first", "last") for sample in found[label]}
    report(
        "storage_list_last_page",
        ours=wall(found["last"]) / EDGE_PAGES,
        limit=wall(found["first"]) / EDGE_PAGES,
        peers={},
        agree=items == {PAGE},
        rounds=rounds,
    )


def tell_urls(found: dict[str, list[Sample]], right: dict[str, bool], rounds: int) -> None:
    report(
        "storage_urls",
        ours=wall(found["urls_ours"]),
        limit=wall(found["urls_limit"]),
        peers={"boto3": wall(found["urls_boto3"])},
        agree=right["urls_ours"] and right["urls_boto3"],
        rounds=rounds,
        urls=URLS,
    )
    report(
        "storage_urls_singly",
        ours=wall(found["singly_ours"]),
        limit=wall(found["singly_limit"]),
        peers={},
        agree=right["singly_ours"],
        rounds=rounds,
        urls=SINGLY,
    )


if __name__ == "__main__":
    main_or_variant(VARIANTS, main)
