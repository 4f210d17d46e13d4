"""What scripts pass, made into what travels: old names, GeoDataFrames, paths."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from landloom.errors import InvalidInput
from landloom.wire.enums import DatasetEnum, NamedEnum
from landloom.wire.requests import Aoi
from rasterflow_remote.results import MosaicResult, UriResult, of_a_dry_run

DEGREES = "EPSG:4326"
"""The CRS of GeoJSON that names none."""


def renamed[T](method: str, old: tuple[str, T | None], new: tuple[str, T | None]) -> T | None:
    """Return the value of an argument that has had two names.

    Raises:
        TypeError: Both names were used.
    """
    (old_name, old_value), (new_name, new_value) = old, new
    if old_value is not None and new_value is not None:
        raise TypeError(
            f"{method}() got both {old_name!r} and {new_name!r}, which are the same argument;"
            f" {new_name!r} is today's name"
        )
    return new_value if new_value is not None else old_value


def required[T](method: str, name: str, value: T | None) -> T:
    """Return `value`.

    Raises:
        TypeError: It is None: the caller left the argument out under all of its names.
    """
    if value is None:
        raise TypeError(f"{method}() missing required argument: {name!r}")
    return value


def member_name(kind: type[NamedEnum], given: object) -> str:
    """Return the name under which a catalogue knows `given`.

    A member, its name or its value become the member's name; any other string passes as it is,
    since an operator's catalogue may hold entries that no enum has.

    Raises:
        InvalidInput: It is neither a member nor a string.
    """
    if not isinstance(given, str):
        raise InvalidInput(f"{given!r} is neither a {kind.__name__} nor the name of one.")
    try:
        return kind.parse(given).name
    except InvalidInput:
        return str(given)


def dataset_names(given: object) -> list[str]:
    """Return what a mosaic is built of as names of a catalogue; one may stand alone.

    Raises:
        InvalidInput: It is neither a dataset nor a list of datasets.
    """
    found = [given] if isinstance(given, str) else given
    if isinstance(found, Mapping) or not isinstance(found, Iterable):
        raise InvalidInput(
            f"datasets is a {type(given).__name__}.",
            suggestion="Pass a list of datasets, such as [DatasetEnum.S2_MED_PLANTING].",
        )
    return [member_name(DatasetEnum, name) for name in found]


def prompts(given: object) -> list[str]:
    """Return text prompts as a list; one may stand alone.

    Raises:
        InvalidInput: It is neither a text nor a list of texts.
    """
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, Iterable):
        raise InvalidInput(
            f"text_prompt is a {type(given).__name__}.",
            suggestion='Pass a text or a list of texts, such as ["building", "pool"].',
        )
    return [str(prompt) for prompt in found]


def portable_aoi(aoi: object) -> Aoi:
    """Return an AOI that can travel: a URL as it is, a GeoDataFrame as GeoJSON in its own CRS.

    The engine learns the CRS: it knows which way an edge goes round the antimeridian, and where
    exactly the corners of a rectangle lie.

    Raises:
        InvalidInput: It is none of the things an AOI may be, or a frame without a CRS.
    """
    if isinstance(aoi, dict):
        return aoi
    if isinstance(aoi, str | PathLike):
        return fspath(aoi)
    if not hasattr(aoi, "to_crs") and hasattr(aoi, "__geo_interface__"):
        return dict(aoi.__geo_interface__)
    if not hasattr(aoi, "to_crs"):
        raise InvalidInput(
            f"aoi is a {type(aoi).__name__}.",
            suggestion="Pass the URL of a GeoParquet or GeoJSON file, a GeoDataFrame, or GeoJSON.",
        )
    frame: Any = aoi
    try:
        geometry = frame.geometry
    except AttributeError:  # what geopandas raises where no column is the active one
        raise InvalidInput(
            "The AOI's GeoDataFrame has no active geometry column.",
            suggestion='Name it: gdf = gdf.set_geometry("geometry").',
        ) from None
    if geometry.crs is None:
        raise InvalidInput(
            "The AOI's GeoDataFrame has no CRS.",
            suggestion="Say which one it is in: gdf = gdf.set_crs(4326).",
        )
    document = dict(geometry.__geo_interface__)
    if geometry.crs != DEGREES:
        document["crs"] = {"type": "name", "properties": {"name": _name_of(geometry.crs)}}
    return document


def _name_of(crs: Any) -> str:
    """Return a name by which pyproj knows a CRS: of the registry, or its whole description."""
    registered = crs.to_authority(min_confidence=100)
    return str(crs.to_wkt()) if registered is None else ":".join(registered)


def store_uris(mosaics: object) -> list[str]:
    """Return the stores that a `mosaics=` argument names.

    It may be a store URI, an index URI, a result, a frame with a `location` column, or a list.

    Raises:
        InvalidInput: It is none of these.
    """
    if isinstance(mosaics, MosaicResult) and mosaics.result.mosaics:
        return [row.location for row in mosaics.result.mosaics]
    if isinstance(mosaics, MosaicResult | UriResult) and not mosaics:
        raise of_a_dry_run("mosaics")
    if isinstance(mosaics, str | PathLike):
        return [fspath(mosaics)]
    columns = getattr(mosaics, "columns", ())
    if "location" in columns:
        return [str(location) for location in mosaics["location"]]  # type: ignore[index]
    if len(columns):
        raise InvalidInput(
            f"mosaics is a {type(mosaics).__name__} without a column `location`; it has"
            f" {', '.join(map(str, columns))}.",
            suggestion="Pass an index of mosaics, such as `result.mosaic_index_gdf`.",
        )
    if isinstance(mosaics, Iterable) and not isinstance(mosaics, Mapping | bytes):
        return [uri for item in mosaics for uri in store_uris(item)]
    raise InvalidInput(
        f"mosaics is a {type(mosaics).__name__}.",
        suggestion="Pass a store URI, an index URI, the result of an earlier call, or a list.",
    )


def one_store(method: str, given: object) -> str:
    """Return the store that an argument for one mosaic names.

    Of several the first is taken, as a result is its first store wherever it is used as a text;
    the others are not passed over in silence.

    Raises:
        InvalidInput: It names none.
    """
    uris = store_uris(given)
    if not uris:
        raise InvalidInput(f"{method}() was given no mosaic.")
    if len(uris) > 1:
        warnings.warn(
            f"{method}() takes one mosaic and was given {len(uris)}: it takes {uris[0]}. Call it"
            " for each of `result.mosaic_index_gdf.location` to have them all.",
            stacklevel=3,
        )
    return uris[0]


def pass_over(envs: Mapping[str, str] | None) -> None:
    """Say that `envs` changes nothing, if there are any."""
    if envs:
        warnings.warn(
            f"envs has no effect: workflows take no environment of their caller's"
            f" ({', '.join(envs)}).",
            stacklevel=3,
        )
