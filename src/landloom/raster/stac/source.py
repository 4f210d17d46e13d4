"""Where items come from: a STAC API, or a static catalogue that is walked link by link."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac_client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests import RequestException
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry
from urllib3.util import Retry

from landloom.errors import StoreProblem, Unavailable
from landloom.raster.catalog.dataset import Source
from landloom.raster.stac.item import resolve_href
from landloom.raster.store import objects

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
MAX_RETRIES = 5
PAGE_SIZE = 100
WALKERS = 8
MAX_DOCUMENTS = 200_000
"""A static catalogue with more documents than this is taken for a circle of links."""

type Item = tuple[Mapping[str, Any], str]
"""A STAC item and the URL or path its relative hrefs are relative to."""


def find_items(
    source: Source, geometry: BaseGeometry, periods: list[tuple[datetime, datetime]]
) -> Iterator[Item]:
    """Yield items that may matter: a static catalogue yields all, an API those it finds.

    Args:
        source: Where to look.
        geometry: Where on Earth, EPSG:4326.
        periods: When: half-open spans in UTC.

    Raises:
        Unavailable: The API does not answer, or answers with an error, after all retries.
        StoreProblem: A document of the static catalogue cannot be read.
    """
    if source.kind == "static":
        yield from _walk(source)
    else:
        for start, end in periods:
            yield from _search(source, geometry, start, end)


def _search(
    source: Source, geometry: BaseGeometry, start: datetime, end: datetime
) -> Iterator[Item]:
    retry = Retry(
        total=MAX_RETRIES,
        backoff_factor=0.5,
        status_forcelist=[429, 500, 502, 503, 504],
        allowed_methods=None,
    )
    timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
    try:
        client = pystac_client.Client.open(
            source.href, stac_io=StacApiIO(max_retries=retry, timeout=timeout)
        )
        search = client.search(
            collections=[str(source.collection)],
            intersects=mapping(geometry),
            datetime=f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
            limit=PAGE_SIZE,
        )
        for item in search.items_as_dicts():
            yield item, _self_href(item) or source.href
    except (APIError, RequestException) as error:
        raise Unavailable(
            f"The STAC API {source.href} failed: {error}",
            suggestion="Try again later, or point the dataset at another catalogue"
            " (LANDLOOM_CATALOG).",
        ) from error


def _self_href(item: Mapping[str, Any]) -> str | None:
    links = item.get("links", [])
    return next((str(link["href"]) for link in links if link.get("rel") == "self"), None)


def _walk(source: Source) -> Iterator[Item]:
    """Yield every item below a catalogue document, level by level, in the order of the links."""
    level, seen = [source.href], {source.href}
    with ThreadPoolExecutor(WALKERS) as pool:
        while level:
            following: list[str] = []
            for href, document in zip(level, pool.map(_read_document, level), strict=True):
                if document.get("type") == "Feature":
                    items = [document]
                else:
                    items = list(document.get("features", []))
                for item in items:
                    if source.collection in {None, item.get("collection")}:
                        yield item, href
                for link in document.get("links", []) if not items else []:
                    target = resolve_href(href, str(link.get("href", "")))
                    if link.get("rel") in {"child", "item", "items"} and target not in seen:
                        seen.add(target)
                        following.append(target)
            if len(seen) > MAX_DOCUMENTS:
                raise StoreProblem(f"The catalogue {source.href} has no end.")
            level = following


def _read_document(href: str) -> Mapping[str, Any]:
    try:
        document = json.loads(objects.read_bytes(href))
    except ValueError as error:
        raise StoreProblem(f"{Path(href).name} is not JSON: {href}.") from error
    if not isinstance(document, dict):
        raise StoreProblem(f"{href} is not a STAC document.")
    return document
