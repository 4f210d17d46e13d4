"""A dataset: where imagery comes from and how it becomes a composite, as a typed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from landloom.errors import CatalogProblem, InvalidInput
from landloom.raster.catalog.section import Section
from landloom.raster.grid import UtmDatum
from landloom.raster.stac.query import Query
from landloom.wire.enums import ResamplingMethod

DAYS_OF_YEAR = (1, 366)

type Reducer = Literal["median", "last"]
"""What becomes of several values of a pixel: their median, or the last one drawn.

Scenes are drawn in the order of the scene table, later ones on top.
"""

type Dtype = Literal["float32", "uint8"]
"""Type of a store's pixels: with NaN, or with 0, where there is no value."""


type SourceKind = Literal["stac_api", "static", "stac_geoparquet", "gti"]
"""A STAC API; a static catalogue (a catalog.json, collection.json or ItemCollection); a GeoParquet
of STAC items; or a GeoParquet tile index of rasters, as GDAL calls it (GTI)."""

KINDS: tuple[SourceKind, ...] = ("stac_api", "static", "stac_geoparquet", "gti")


@dataclass(frozen=True, slots=True)
class Source:
    """Where scenes are found."""

    kind: SourceKind
    href: str
    """A GeoParquet may be a file or a folder of parts."""
    collection: str | None
    """The collection to search; None takes every item, but an API must be told."""
    location_field: str = "location"
    """Column of a tile index with each raster's URL."""
    time_column: str | None = None
    """Column of a tile index with each raster's time: timestamps, dates or years."""
    requester_pays: bool = False
    """Whether rasters lie in buckets whose readers pay."""


@dataclass(frozen=True, slots=True)
class Band:
    """A band of the output and the asset names that can fill it."""

    label: str
    names: tuple[str, ...]
    """Asset keys or eo common names in order of preference, e.g. `("blue", "B02")`."""
    band: int = 0
    """Which sample of the asset's file, from 0; a catalogue file counts from 1, as GDAL does."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Which pixels of a scene are thrown away, by a class raster."""

    names: tuple[str, ...]
    """Asset keys in order of preference."""
    drop: tuple[int, ...]
    """Classes that are thrown away; used where `keep` is empty."""
    keep: tuple[int, ...]
    """The only classes that stay; empty where `drop` rules."""

    def dropped(self) -> tuple[bool, ...]:
        """Return for each of the 256 classes whether its pixels are thrown away."""
        if self.keep:
            return tuple(value not in self.keep for value in range(256))
        return tuple(value in self.drop for value in range(256))


@dataclass(frozen=True, slots=True)
class SeasonRow:
    """First and last day of year of a season for one class of latitude; leap years count on."""

    above: float
    """Degrees: the row is for |latitude| > above; the first row that fits counts."""
    north: tuple[int, int]
    south: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Imagery that a mosaic can be built of."""

    name: str
    prefix: str
    """Band labels in the store are `<prefix>:<label>`, or the label alone where this is empty."""
    source: Source
    bands: tuple[Band, ...]
    resolution: float
    """Metres."""
    nodata: float | None
    """Value of pixels without data, where an item does not say."""
    radiometry: Literal["none", "sentinel2_l2a"]
    """How stored numbers are brought to one scale; see `scenes.radiometric_offset`."""
    mask: MaskRule | None
    max_cloud_cover: float
    """Per cent; scenes with this or more are left out."""
    max_scenes: int
    """At most so many scenes per MGRS tile and time step, the least cloudy first; 0 is no cap."""
    windows: tuple[SeasonRow, ...]
    """Empty is the whole year."""
    reducer: Reducer
    count_band: str | None
    """Label of the band that counts the valid scenes of each pixel, or None for no such band."""
    dtype: Dtype
    resampling: ResamplingMethod = ResamplingMethod.BILINEAR
    """How a scene on another grid is brought to the output's."""
    query: str | None = None
    """Which items count, by their properties (of a tile index: by its columns); see `Query`."""
    datum: UtmDatum = "WGS84"
    """Of the imagery's own UTM zones, which are the output's where a request names no CRS."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels this dataset fills in a store, in order."""
        labels = [band.label for band in self.bands]
        if self.count_band:
            labels.append(self.count_band)
        return tuple(f"{self.prefix}:{label}" if self.prefix else label for label in labels)

    def season(self, latitude: float) -> tuple[int, int]:
        """Return the first and last day of year for scenes at a latitude; 0 is not north."""
        for row in self.windows:
            if abs(latitude) > row.above:
                return row.north if latitude > 0 else row.south
        return DAYS_OF_YEAR


def read_dataset(name: str, section: Section) -> Dataset:
    """Return the dataset that a table describes.

    Raises:
        CatalogProblem: A key is missing, unknown or wrong; the message names file, entry and key.
    """
    section.optional_text("about")
    mask = section.optional_section("mask")
    dataset = Dataset(
        name=name,
        prefix=section.text("prefix", name.lower()),
        source=_read_source(section.section("source")),
        bands=_read_bands(section.section("bands")),
        resolution=section.number("resolution"),
        nodata=section.optional_number("nodata"),
        radiometry=_choice(section, "radiometry", ("none", "sentinel2_l2a")),
        mask=None if mask is None else _read_mask(mask),
        max_cloud_cover=section.number("max_cloud_cover", 75.0),
        max_scenes=section.integer("max_scenes", 0),
        windows=tuple(_read_row(row) for row in section.sections("windows")),
        reducer=_choice(section, "reducer", ("median", "last")),
        count_band=section.optional_text("count_band"),
        dtype=_choice(section, "dtype", ("float32", "uint8")),
        resampling=ResamplingMethod(
            section.choice("resampling", tuple(ResamplingMethod), ResamplingMethod.BILINEAR)
        ),
        query=_read_query(section),
        datum=_choice(section, "datum", ("WGS84", "NAD83")),
    )
    section.close()
    if dataset.resolution <= 0:
        raise section.problem("resolution", "must be more than 0 metres")
    if len(set(dataset.labels)) != len(dataset.labels):
        raise section.problem("bands", "and count_band must have labels that differ")
    if dataset.dtype == "uint8" and dataset.nodata != 0:
        raise section.problem("nodata", "must be 0 where dtype is uint8: stores of bytes are so")
    return dataset


def _choice[T: str](section: Section, key: str, choices: tuple[T, ...]) -> T:
    """Return one of `choices`; the first one stands for a missing key."""
    return cast("T", section.choice(key, choices, choices[0]))


def _read_source(section: Section) -> Source:
    source = Source(
        kind=cast("SourceKind", section.choice("kind", KINDS)),
        href=section.text("href"),
        collection=section.optional_text("collection"),
        location_field=section.text("location_field", "location"),
        time_column=section.optional_text("time_column"),
        requester_pays=section.flag("requester_pays", default=False),
    )
    section.close()
    if source.kind == "stac_api" and source.collection is None:
        raise section.problem("collection", "is missing: a STAC API holds many")
    if source.kind == "gti" and source.time_column is None:
        raise section.problem("time_column", "is missing: a dataset is searched by time")
    return source


def _read_query(section: Section) -> str | None:
    text = section.optional_text("query")
    if text is not None:
        try:
            Query.parse(text)
        except InvalidInput as error:
            raise CatalogProblem(f"{section.origin}: {error}") from error
    return text


def _read_bands(section: Section) -> tuple[Band, ...]:
    """Return the bands: each a list of asset names, or a table of `assets` and a `band` number."""
    bands = tuple(
        _read_band(label, section.section(label))
        if isinstance(names, Mapping)
        else Band(label, section.texts(label))
        for label, names in section.table.items()
    )
    if not bands:
        raise CatalogProblem(f"{section.origin} is empty.")
    return bands


def _read_band(label: str, section: Section) -> Band:
    band = Band(label, section.texts("assets"), section.integer("band", 1, minimum=1) - 1)
    section.close()
    return band


def _read_mask(section: Section) -> MaskRule:
    rule = MaskRule(
        section.texts("assets"), section.integers("drop", ()), section.integers("keep", ())
    )
    section.close()
    if bool(rule.drop) == bool(rule.keep):
        raise section.problem("drop", "or keep must list classes, and only one of them")
    return rule


def _read_row(section: Section) -> SeasonRow:
    """Return a season row; `days` stands for both hemispheres."""
    both = _read_days(section, "days") if "days" in section.table else None
    row = SeasonRow(
        above=section.number("above", -1.0),
        north=both or _read_days(section, "north"),
        south=both or _read_days(section, "south"),
    )
    section.close()
    return row


def _read_days(section: Section, key: str) -> tuple[int, int]:
    days = section.integers(key)
    first, last = DAYS_OF_YEAR
    if len(days) != 2 or not first <= days[0] <= days[1] <= last:  # noqa: PLR2004 - from, to
        raise section.problem(key, f"must be [first, last] within {first} to {last}")
    return days[0], days[1]
