"""Bring your own rasters: the plan of a mosaic of the rasters that a tile index lists.

The index is what GDAL calls a GTI: a GeoParquet with one row a raster. Rows become scenes of one
dataset that exists for this request only, so that everything after the plan is as for any other
mosaic. Where rasters overlap the later one is on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import shapely
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from landloom.errors import CatalogProblem, InvalidInput, SceneReadFailed
from landloom.raster.aoi import AoiRow
from landloom.raster.catalog.dataset import Band, Dataset, Source
from landloom.raster.grid import footprint, metres, native_epsg, pixel_size, snapped_geobox
from landloom.raster.mosaic.plan import MosaicPlan
from landloom.raster.mosaic.read import Raster, RasterReadError, shared_reader
from landloom.raster.scenes import SceneTable
from landloom.raster.stac.item import read_scene, resolve_href
from landloom.raster.stac.query import Query
from landloom.raster.stac.source import IMAGE, index_item, time_of
from landloom.raster.stac.table import Row, column_names, read_rows
from landloom.raster.store import objects
from landloom.wire.requests import BuildGtiMosaics

UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
"""The time step of an index without times: the epoch, which nobody takes for a date of imagery."""

EVERYWHERE = shapely.box(-180, -90, 180, 90)

NO_CLOUDS = 101.0
"""Per cent; a limit that no raster reaches."""


@dataclass(frozen=True, slots=True)
class _Index:
    """A tile index and what a request wants of it."""

    request: BuildGtiMosaics
    source: Source
    query: Query | None

    def rows(self, place: BaseGeometry) -> list[Row]:
        """Return the rows that count and meet a place, in the order in which they are drawn."""
        found = read_rows(self.request.gti, place)
        if self.query is not None:
            found = [row for row in found if self.query.holds(row.columns)]
        return found if self.request.sort_field is None else _sorted(found, self.request.sort_field)

    def href(self, row: Row) -> str:
        """Return where a row's raster lies."""
        href = resolve_href(self.request.gti, index_item(self.source, row)["id"])
        return objects.requester_pays(href) if self.request.requester_pays else href


def plan_gti(request: BuildGtiMosaics, row: AoiRow) -> MosaicPlan:
    """Return the grid and the rasters of a mosaic of one AOI row.

    The CRS and the pixel size, where the request leaves them out, are those of the first raster
    that meets the AOI, the finer side of its pixels; in another CRS the pixel has as many metres
    (see `pixel_size`). Pixels lie on the lattice from the CRS origin as in any mosaic, so rasters
    whose corners are no multiples of their pixel size are resampled. The search covers the whole
    grid. Rasters whose pixels are bytes give a store of bytes where `nodata` is 0, as such stores
    have it; any others give float32 with NaN.

    Raises:
        InvalidInput: A column is not in the index, the query is none, the rasters have too few
            bands, or the AOI has no place in the CRS.
        CatalogProblem: A row has no URL or no time and may not be left out.
        SceneReadFailed: A raster's header cannot be read and it may not be left out.
        StoreProblem: The index cannot be read.
    """
    index = _open(request)
    here = index.rows(row.geometry)
    first = _first_raster(index, here or index.rows(EVERYWHERE))
    geobox = _grid(request, row, first, inside=bool(here))
    place = footprint(geobox)
    rows = index.rows(place)
    dataset = _dataset(index, geobox, _dtype(index, rows, first))
    return MosaicPlan(geobox, (dataset,), tuple((table,) for table in _steps(index, rows, dataset)))


def _open(request: BuildGtiMosaics) -> _Index:
    """Return the index, after holding the request against its columns.

    Raises:
        InvalidInput: A column is not there.
    """
    query = None if request.query is None else Query.parse(request.query)
    known = column_names(request.gti)
    wanted: list[tuple[str, str | None]] = [
        ("location_field", request.location_field),
        ("time_column", request.time_column),
        ("sort_field", request.sort_field),
        *(("query", name) for name in (() if query is None else query.columns.values())),
    ]
    for field, name in wanted:
        if name is not None and name not in known:
            raise InvalidInput(
                f"The tile index {request.gti} has no column {name!r}.",
                suggestion=f"Its columns are {', '.join(known)}.",
                field=field,
            )
    source = Source(
        kind="gti",
        href=request.gti,
        collection=None,
        location_field=request.location_field,
        time_column=request.time_column,
        requester_pays=request.requester_pays,
    )
    return _Index(request, source, query)


def _sorted(rows: Iterable[Row], column: str) -> list[Row]:
    """Return rows by a column's values; those without one come first, equal ones as they stood."""

    def key(row: Row) -> tuple[bool, Any]:
        value = row.columns[column]
        moment = None if isinstance(value, int | str) else time_of(value)
        return (False, 0) if value is None else (True, value if moment is None else moment)

    try:
        return sorted(rows, key=key)
    except TypeError as error:
        raise InvalidInput(
            f"Values of the column {column!r} have no order: {error}.", field="sort_field"
        ) from error


def _first_raster(index: _Index, rows: Sequence[Row]) -> Raster:
    """Return the first raster of rows.

    Raises:
        InvalidInput: There are no rows, or the raster has too few bands.
        SceneReadFailed: It cannot be read, and the request does not allow to leave it out.
    """
    if not rows:
        raise InvalidInput(
            f"No row of the tile index {index.request.gti} counts.",
            suggestion="Check its geometries and the query.",
            field="gti",
        )
    for row in rows:
        raster = shared_reader().open_many([index.href(row)])[0]
        if isinstance(raster, Raster):
            _check_bands(index.request, raster)
            return raster
        _unreadable(index, row, raster)
    raise SceneReadFailed(f"No raster of the tile index {index.request.gti} can be read.")


def _unreadable(index: _Index, row: Row, error: RasterReadError) -> None:
    """End the workflow, or leave it to the tiles to count what is left out.

    Raises:
        SceneReadFailed: The request does not allow to leave it out.
    """
    if index.request.on_error == "raise":
        raise SceneReadFailed(
            f"The raster {index.href(row)} of {index.request.gti} cannot be read: {error}",
            suggestion="Check the file, or leave its row out by the query.",
        ) from error


def _check_bands(request: BuildGtiMosaics, raster: Raster) -> None:
    if raster.bands < len(request.bands):
        raise InvalidInput(
            f"{raster.href} has {raster.bands} bands; {len(request.bands)} labels were given"
            f" ({', '.join(request.bands)}).",
            suggestion="Give one label for each band from the first on.",
            field="bands",
        )


def _grid(request: BuildGtiMosaics, row: AoiRow, first: Raster, *, inside: bool) -> GeoBox:
    """Return the output's grid; without a raster inside the area it is in the area's own zone."""
    if request.target_crs is not None:
        crs = f"EPSG:{request.target_crs}"
    else:
        crs = first.crs if inside else f"EPSG:{native_epsg(row.geometry)}"
    side = _pixel_side(first)
    if request.resolution is not None:
        pixel = request.resolution
    elif crs == first.crs:
        pixel = side
    else:
        pixel = pixel_size(crs, metres(first.crs, side))
    return snapped_geobox(row.geometry, crs, pixel, row.drawn)


def _pixel_side(raster: Raster) -> float:
    """Return the length of the finer side of a raster's pixels; they may be turned."""
    a, b, _, d, e, _ = tuple(raster.transform)[:6]
    return float(min((a * a + d * d) ** 0.5, (b * b + e * e) ** 0.5))


def _dtype(index: _Index, rows: Sequence[Row], first: Raster) -> Literal["float32", "uint8"]:
    """Return the type of the store's pixels: bytes only if all rasters hold bytes.

    Raises:
        SceneReadFailed: A raster cannot be read and may not be left out.
    """
    if index.request.nodata != 0 or first.dtype != "uint8":
        return "float32"
    rasters = shared_reader().open_many([index.href(row) for row in rows])
    for row, raster in zip(rows, rasters, strict=True):
        if isinstance(raster, RasterReadError):
            _unreadable(index, row, raster)
        elif raster.dtype != "uint8":
            return "float32"
    return "uint8"


def _dataset(index: _Index, geobox: GeoBox, dtype: Literal["float32", "uint8"]) -> Dataset:
    """Return the dataset that this request alone has."""
    request = index.request
    return Dataset(
        name="gti",
        prefix="",
        source=index.source,
        bands=tuple(Band(label, (IMAGE,), band) for band, label in enumerate(request.bands)),
        resolution=metres(str(geobox.crs), float(geobox.affine.a)),
        nodata=request.nodata,
        radiometry="none",
        mask=None,
        max_cloud_cover=NO_CLOUDS,
        max_scenes=0,
        windows=(),
        reducer="last",
        count_band=None,
        dtype=dtype,
        resampling=request.resampling,
        query=request.query,
    )


def _steps(index: _Index, rows: Sequence[Row], dataset: Dataset) -> list[SceneTable]:
    """Return the time steps: one for each distinct time, one where nothing has a time.

    Raises:
        CatalogProblem: A row has no URL or no time and may not be left out.
    """
    steps: dict[datetime, list[Any]] = {}
    skipped: list[str] = []
    for row in rows:
        try:
            start = _time(index, row)
            item = index_item(index.source, row)
            item["properties"] = {"datetime": start.isoformat()}
            steps.setdefault(start, []).append(read_scene(item, index.request.gti, dataset))
        except CatalogProblem as error:
            if index.request.on_error == "raise":
                raise
            skipped.append(error.message)
    tables: list[SceneTable] = []
    for start in sorted(steps) or [UNDATED]:
        scenes = steps.get(start, [])
        end = start + timedelta(seconds=1)
        told = tuple(skipped) if not tables else ()
        tables.append(SceneTable(dataset.name, start, end, tuple(scenes), len(scenes), told))
    return tables


def _time(index: _Index, row: Row) -> datetime:
    """Return the time step of a row, to the second as the store has it.

    Raises:
        CatalogProblem: It has none.
    """
    column = index.request.time_column
    if column is None:
        return UNDATED
    moment = time_of(row.columns[column])
    if moment is None:
        raise CatalogProblem(
            f"A row of the tile index {index.request.gti} has no time in {column!r}:"
            f" {row.columns.get(index.request.location_field)}.",
            suggestion="Give it a timestamp or a year, or leave it out by the query.",
        )
    return moment.replace(microsecond=0)
