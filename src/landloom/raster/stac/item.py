"""From a STAC item to a scene: assets by key or common name, radiometry, the tile it belongs to.

Items come in several shapes: Earth Search v1 names assets `blue` and `scl`, other catalogues `B02`
and `SCL`; band facts stand in `eo:bands` and `raster:bands` (STAC 1.0) or in `bands` (STAC 1.1).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin

import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import shape

from landloom.errors import CatalogProblem
from landloom.raster.antimeridian import mended
from landloom.raster.catalog.dataset import Band, Dataset
from landloom.raster.stac.scene import Asset, Scene
from landloom.raster.store import objects

BOA_OFFSET = -1000.0
"""What baselines from 04.00 on added to reflectances (ESA, Sentinel-2 L2A product changes 2022)."""

OFFSET_BASELINE = 4.0

BAND_LISTS = ("eo:bands", "raster:bands", "bands")
"""Where an item tells of an asset's bands."""

GDAL_PREFIXES = {"/vsis3/": "s3://", "/vsicurl/": ""}
"""GDAL's names for what lies in a bucket or at a URL."""

type Json = Mapping[str, Any]


def read_scene(item: Json, base: str, dataset: Dataset) -> Scene:
    """Return what a dataset needs of an item.

    Args:
        item: The STAC item.
        base: URL or path of the item's document: relative hrefs are relative to it.
        dataset: Which bands and mask are wanted, and how numbers are normalised.

    Returns:
        The scene; a band that the item lacks is None.

    Raises:
        CatalogProblem: The item lacks all bands, its mask, its geometry or its time.
    """
    identity = str(item.get("id", "?"))
    properties = item.get("properties", {})
    if not item.get("geometry"):
        raise CatalogProblem(f"The item {identity} of {dataset.name} has no geometry.")
    bands = tuple(_band_asset(item, base, dataset, band) for band in dataset.bands)
    if not any(bands):
        raise _no_asset(identity, item, dataset, [name for b in dataset.bands for name in b.names])
    geometry = mended(shape(item["geometry"]))
    bounds = tuple(float(value) for value in geometry.bounds)
    mask = None
    if dataset.mask is not None:
        key = _find_key(item, dataset.mask.names)
        if key is None:
            raise _no_asset(identity, item, dataset, dataset.mask.names)
        mask = Asset(key, _href(dataset, base, item["assets"][key]), None, 0.0)
    return Scene(
        id=identity,
        acquired=_acquired(identity, properties),
        tile=_tile(properties, bounds),
        latitude=_latitude(item, geometry),
        cloud_cover=float(properties.get("eo:cloud_cover") or 0.0),
        footprint=bounds,
        outline=shapely.to_wkt(geometry, rounding_precision=-1),
        bands=bands,
        mask=mask,
    )


def resolve_href(base: str, href: str) -> str:
    """Return an asset's or link's href as an absolute URL or path.

    GDAL's own names for remote files, common in tile indexes, become URLs.
    """
    for name, scheme in GDAL_PREFIXES.items():
        if href.startswith(name):
            href = scheme + href.removeprefix(name)
    if "://" in href or href.startswith("/"):
        return href
    if "://" in base:
        scheme, _, rest = base.partition("://")
        # urljoin knows no s3: lend it a scheme that it does know.
        return f"{scheme}://" + urljoin(f"http://{rest}", href).removeprefix("http://")
    return urljoin(base, href)


def _band_asset(item: Json, base: str, dataset: Dataset, band: Band) -> Asset | None:
    """Return a band's asset, None where there is none or the asset says that it has fewer bands."""
    key = _find_key(item, band.names)
    if key is None:
        return None
    asset = item["assets"][key]
    told = max((len(asset.get(name) or []) for name in BAND_LISTS), default=0)
    # One entry may speak for all bands; several are all there are.
    if 1 < told <= band.band:
        return None
    facts = _band_facts(asset, band.band)
    nodata = _number(facts.get("nodata"))
    offset = 0.0
    if dataset.radiometry == "sentinel2_l2a":
        offset = _sentinel2_offset(item.get("properties", {}), facts)
    return Asset(
        key=key,
        href=_href(dataset, base, asset),
        nodata=dataset.nodata if nodata is None else nodata,
        offset=offset,
        band=band.band,
    )


def _href(dataset: Dataset, base: str, asset: Json) -> str:
    href = resolve_href(base, asset["href"])
    return objects.requester_pays(href) if dataset.source.requester_pays else href


def _find_key(item: Json, names: Sequence[str]) -> str | None:
    """Return the asset for the first name that fits, by key and then by eo common name."""
    assets: Json = item.get("assets", {})
    by_key = {key.lower(): key for key in reversed(list(assets))}
    for name in names:
        if name.lower() in by_key:
            return by_key[name.lower()]
    by_common_name = {
        common: key
        for key, asset in reversed(list(assets.items()))
        if (common := _common_name(asset)) is not None
    }
    for name in names:
        if name.lower() in by_common_name:
            return by_common_name[name.lower()]
    return None


def _no_asset(identity: str, item: Json, dataset: Dataset, names: Sequence[str]) -> CatalogProblem:
    return CatalogProblem(
        f"The item {identity} has no asset {' or '.join(dict.fromkeys(names))}, which"
        f" {dataset.name} needs.",
        suggestion=f"Its assets are {', '.join(item.get('assets', {})) or 'none'}.",
    )


def _common_name(asset: Json) -> str | None:
    """Return a single-band TIFF's eo common name; JPEG 2000 twins and composites have none."""
    media = str(asset.get("type", "image/tiff"))
    bands = asset.get("eo:bands") or asset.get("bands") or []
    if "tiff" not in media or len(bands) != 1:
        return None
    name = bands[0].get("common_name") or bands[0].get("eo:common_name")
    return None if name is None else str(name).lower()


def _band_facts(asset: Json, band: int) -> Json:
    """Return the facts of one of an asset's bands; a single entry speaks for all.

    They stand in `raster:bands` in STAC 1.0; in 1.1 in `bands`, or on the asset itself, which
    speaks for all of its bands.
    """
    bands = asset.get("raster:bands") or asset.get("bands") or [{}]
    return {**asset, **bands[min(band, len(bands) - 1)]}


def _sentinel2_offset(properties: Json, facts: Json) -> float:
    """Return what brings L2A numbers to the scale they had before 2022.

    Where an item names no processing baseline, its own band offset speaks, in stored numbers.
    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0
    baseline = properties.get("s2:processing_baseline") or properties.get("processing:version")
    try:
        return BOA_OFFSET if float(str(baseline)) >= OFFSET_BASELINE else 0.0
    except ValueError:
        offset = _number(facts.get("offset", facts.get("raster:offset"))) or 0.0
        scale = _number(facts.get("scale", facts.get("raster:scale"))) or 1.0
        return float(round(offset / scale))


def _number(value: Any) -> float | None:
    """Return a number; STAC writes NaN and infinities as texts."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _acquired(identity: str, properties: Json) -> datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise CatalogProblem(f"The item {identity} has no readable datetime: {text!r}.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _tile(properties: Json, bounds: tuple[float, ...]) -> str:
    """Return the MGRS tile or another grid's code, else the bounding box to a thousandth.

    Coarser, and the images of an aerial survey, a sixteenth of a degree wide, would be one tile.
    """
    code = properties.get("grid:code") or properties.get("s2:mgrs_tile")
    if code:
        return str(code).removeprefix("MGRS-")
    keys = ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square")
    if all(key in properties for key in keys):
        return "".join(str(properties[key]) for key in keys)
    return ",".join(f"{value:.3f}" for value in bounds)


def _latitude(item: Json, geometry: Any) -> float:
    """Return the latitude of the centre of the item's pixel grid, else of its geometry.

    The grid is that of the MGRS tile and stays, while a geometry shrinks with the swath.
    """
    properties = item.get("properties", {})
    centroid = properties.get("proj:centroid")
    if isinstance(centroid, Mapping) and "lat" in centroid:
        return float(centroid["lat"])
    epsg = str(properties.get("proj:code") or properties.get("proj:epsg") or "")
    for holder in (properties, *item.get("assets", {}).values()):
        size, transform = holder.get("proj:shape"), holder.get("proj:transform")
        if epsg and size and transform:
            x, y = Affine(*transform[:6]) @ (size[1] / 2, size[0] / 2)
            code = epsg if ":" in epsg else f"EPSG:{epsg}"
            return float(_to_degrees(code, threading.get_ident()).transform(x, y)[1])
    return float(geometry.centroid.y)


@lru_cache(maxsize=256)
def _to_degrees(code: str, thread: int) -> Transformer:
    """Return a thread's transformer to longitude and latitude: it takes a millisecond to make."""
    del thread  # part of the key: a Transformer belongs to one thread
    return Transformer.from_crs(code, "EPSG:4326", always_xy=True)
