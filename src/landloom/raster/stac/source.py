"""Where items come from: a STAC API, a static catalogue that is walked link by link, or a table.

A tile index (GTI) has rows instead of items; each becomes an item with the one asset `image`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from requests import RequestException
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry
from urllib3.util import Retry

from landloom.errors import CatalogProblem, StoreProblem, Unavailable
from landloom.raster.catalog.dataset import Source
from landloom.raster.stac.item import resolve_href
from landloom.raster.store import objects

if TYPE_CHECKING:
    from landloom.raster.stac.table import Row, Span

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
MAX_RETRIES = 5
PAGE_SIZE = 100
WALKERS = 8
MAX_DOCUMENTS = 200_000
"""A static catalogue with more documents than this is taken for a circle of links."""

type Item = tuple[Mapping[str, Any], str]
"""A STAC item and the URL or path its relative hrefs are relative to."""


IMAGE = "image"
"""Key of the only asset that a row of a tile index has."""

ITEM_MEMBERS = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "bbox", "links", "assets", "collection"}
)
"""Columns of stac-geoparquet that are members of the item; all others are its properties."""


def find_items(source: Source, geometry: BaseGeometry, periods: list[Span]) -> Iterator[Item]:
    """Yield items that may matter: a static catalogue yields all, others those they find.

    Args:
        source: Where to look.
        geometry: Where on Earth, EPSG:4326.
        periods: When: half-open spans in UTC.

    Raises:
        Unavailable: The API does not answer, or answers with an error, after all retries.
        StoreProblem: A document of the static catalogue, or a table, cannot be read.
        CatalogProblem: A tile index lacks a column.
    """
    match source.kind:
        case "static":
            yield from _walk(source)
        case "stac_api":
            for start, end in periods:
                yield from _search(source, geometry, start, end)
        case "stac_geoparquet":
            yield from _stored_items(source, geometry, periods)
        case "gti":
            yield from _index_items(source, geometry, periods)


def _stored_items(
    source: Source, geometry: BaseGeometry, periods: Sequence[Span]
) -> Iterator[Item]:
    """Yield the items of a stac-geoparquet."""
    for row in _rows(source, geometry, "datetime", periods):
        item: dict[str, Any] = {"properties": {}}
        for name, value in _filled(row.columns).items():
            holder = item if name in ITEM_MEMBERS else item["properties"]
            holder[name] = value
        item["geometry"] = mapping(row.geometry)
        if source.collection in {None, item.get("collection")}:
            yield item, _self_href(item) or source.href


def _index_items(source: Source, geometry: BaseGeometry, periods: Sequence[Span]) -> Iterator[Item]:
    """Yield the rows of a tile index as items."""
    for row in _rows(source, geometry, source.time_column, periods):
        item = index_item(source, row)
        moment = time_of(row.columns.get(source.time_column or ""))
        if moment is None:
            raise CatalogProblem(
                f"The raster {item['id']} of {source.href} has no time in {source.time_column!r}.",
                suggestion="Give it one, or name another time_column.",
            )
        item["properties"]["datetime"] = moment.isoformat()
        yield item, source.href


def index_item(source: Source, row: Row) -> dict[str, Any]:
    """Return a row of a tile index as an item, but for its time.

    Raises:
        CatalogProblem: There is no column of this name, or no text in it.
    """
    href = row.columns.get(source.location_field)
    if not isinstance(href, str) or not href:
        columns = ", ".join(name for name in row.columns if name != "bbox")
        raise CatalogProblem(
            f"The tile index {source.href} has no URL in its column {source.location_field!r}.",
            suggestion=f"Name the column by location_field; there are {columns}.",
        )
    return {
        "id": href,
        "geometry": mapping(row.geometry),
        "properties": _filled(row.columns),
        "assets": {IMAGE: {"href": href}},
    }


def time_of(value: Any) -> datetime | None:
    """Return a timestamp, a date, a year or an ISO text as a moment in UTC; None has none."""
    if isinstance(value, int):
        return datetime(value, 1, 1, tzinfo=UTC) if MINYEAR <= value <= MAXYEAR else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        exact = value.replace(microsecond=value.microsecond)
        return exact.replace(tzinfo=UTC) if exact.tzinfo is None else exact.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def _rows(
    source: Source, geometry: BaseGeometry, time_column: str | None, periods: Sequence[Span]
) -> list[Row]:
    if not periods:
        return []
    span = min(start for start, _ in periods), max(end for _, end in periods)
    from landloom.raster.stac.table import read_rows  # noqa: PLC0415 - Arrow: only tables need it

    return read_rows(source.href, geometry, time_column=time_column, span=span)


def _filled(value: Any) -> Any:
    """Return a value of a table as JSON has it: without what is missing, times as texts.

    A table has every column of every item, so most items have none of most.
    """
    if isinstance(value, Mapping):
        return {key: _filled(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_filled(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def _search(
    source: Source, geometry: BaseGeometry, start: datetime, end: datetime
) -> Iterator[Item]:
    # A client of APIs, pandas and all, is nothing that other sources need.
    import pystac_client  # noqa: PLC0415
    from pystac_client.exceptions import APIError  # noqa: PLC0415
    from pystac_client.stac_api_io import StacApiIO  # noqa: PLC0415

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
