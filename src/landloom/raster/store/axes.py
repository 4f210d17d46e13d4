"""Where a dataset of others lies: which dimensions are space, time and band, which CRS, which grid.

What is said is looked for in this order: the `proj:` and `spatial:` conventions, CF (grid mapping,
`axis`, `standard_name`), the names that people use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError

from landloom.errors import StoreProblem

NAMES = {
    "Y": ("y", "lat", "latitude", "northing", "projection_y_coordinate"),
    "X": ("x", "lon", "longitude", "easting", "projection_x_coordinate"),
    "T": ("time", "t", "date", "datetime", "year"),
}
"""Names of dimensions by CF's `axis`, compared without case."""

DEGREES = {"degrees_north", "degrees_east", "degree_north", "degree_east"}

SPACING_TOLERANCE_PX = 0.1
"""Centres may lie so far off a regular grid: coordinates in float32 do."""

YEARS = range(1800, 2200)
"""Whole numbers in this range on a time axis are years."""


@dataclass(frozen=True, slots=True)
class Axes:
    """The dimensions of a variable by what they mean."""

    y: str
    x: str
    time: str | None
    band: str | None


def find_axes(dataset: Any, variable: Any) -> Axes | None:
    """Return the axes of a variable (an xarray DataArray), or None if it has no two of space.

    Raises:
        StoreProblem: It has a dimension whose meaning cannot be told.
    """
    said = variable.attrs.get("spatial:dimensions") or dataset.attrs.get("spatial:dimensions")
    y, x = said if said and set(said) <= set(variable.dims) else (None, None)
    y, x = y or _dimension(variable, "Y"), x or _dimension(variable, "X")
    if y is None or x is None:
        return None
    rest = [str(name) for name in variable.dims if name not in {y, x}]
    time = _dimension(variable, "T", rest)
    rest = [name for name in rest if name != time]
    if len(rest) > 1:
        raise StoreProblem(
            f"The variable {variable.name!r} has the dimensions {', '.join(variable.dims)}:"
            f" one of {', '.join(rest)} is too many.",
            suggestion="Select one of its values and write that to a store.",
        )
    return Axes(y, x, time, rest[0] if rest else None)


def times_of(variable: Any, axes: Axes) -> tuple[np.datetime64, ...]:
    """Return the time steps of a variable; one without a date has the first day of 1970.

    Raises:
        StoreProblem: There is none, or they are no dates.
    """
    name = axes.time or next((each for each in NAMES["T"] if each in variable.coords), None)
    if name is None or name not in variable.coords:
        count = variable.sizes[axes.time] if axes.time else 1
        return tuple(np.datetime64("1970-01-01", "s") + np.arange(count).astype("m8[D]"))
    values = np.atleast_1d(variable.coords[name].values)
    if values.dtype.kind in "iu" and all(int(value) in YEARS for value in values):
        values = np.array([f"{value:04d}-01-01" for value in values], "M8[s]")
    if not len(values) or values.dtype.kind not in "MO":
        raise StoreProblem(f"The time axis {name!r} of {variable.name!r} has no dates.")
    # Calendars that numpy does not know come as objects that print as a date.
    stamps = values if values.dtype.kind == "M" else [str(value) for value in values]
    return tuple(np.array(stamps, "M8[s]"))


def grid_of(uri: str, dataset: Any, variable: Any, axes: Axes) -> tuple[GeoBox, bool, bool]:
    """Return the north-up grid of a variable, and whether its rows and columns run the other way.

    Raises:
        StoreProblem: It has no CRS, or no regular grid.
    """
    mapping = _grid_mapping(dataset, variable)
    crs = _crs({**mapping, **dataset.attrs, **variable.attrs})
    if crs is None and _in_degrees(variable, axes):
        crs = CRS.from_epsg(4326)
    height, width = variable.sizes[axes.y], variable.sizes[axes.x]
    if crs is None or not height or not width:
        raise StoreProblem(
            f"{uri} does not say where it is: no CRS, or no rows or columns.",
            suggestion="Add proj:code to its attributes.",
        )
    said = _said_transform({**mapping, **dataset.attrs, **variable.attrs})
    north, dy = _spacing(uri, variable, axes.y, None if said is None else (said.f, said.e))
    west, dx = _spacing(uri, variable, axes.x, None if said is None else (said.c, said.a))
    rows_north, columns_west = dy > 0, dx < 0
    if rows_north:  # the last row is the first of ours
        north, dy = north + height * dy, -dy
    if columns_west:
        west, dx = west + width * dx, -dx
    geobox = GeoBox((height, width), Affine(dx, 0, west, 0, dy, north), crs)
    return geobox, rows_north, columns_west


def _dimension(variable: Any, axis: str, among: Iterable[str] | None = None) -> str | None:
    """Return the dimension that stands for `axis`."""
    dimensions = [str(name) for name in (variable.dims if among is None else among)]
    for name in dimensions:
        attributes = variable.coords[name].attrs if name in variable.coords else {}
        if attributes.get("axis") == axis or attributes.get("standard_name") in NAMES[axis]:
            return name
    named = (name for known in NAMES[axis] for name in dimensions if name.lower() == known)
    found = next(named, None)
    if found is None and axis == "T":
        dates = (each for each in dimensions if each in variable.coords)
        found = next((each for each in dates if variable.coords[each].dtype.kind == "M"), None)
    return found


def _spacing(
    uri: str, variable: Any, name: str, said: tuple[float, float] | None
) -> tuple[float, float]:
    """Return the outer edge of an axis' first pixel, and the step."""
    values = np.asarray(variable.coords[name].values, float) if name in variable.coords else None
    if values is None or len(values) < 2:  # noqa: PLR2004 - two centres give a pixel size
        if said is None:
            raise StoreProblem(
                f"{uri} does not say where it is: {name!r} has no two coordinates.",
                suggestion="Add spatial:transform to its attributes.",
            )
        return said
    step = (values[-1] - values[0]) / (len(values) - 1)
    off = np.abs(values - (values[0] + step * np.arange(len(values)))).max()
    if not step or not off <= SPACING_TOLERANCE_PX * abs(step):
        raise StoreProblem(
            f"{uri} has no regular grid: {name!r} is not evenly spaced.",
            suggestion="Resample it to a regular grid.",
        )
    return float(values[0] - step / 2), float(step)


def _said_transform(attributes: Mapping[str, Any]) -> Affine | None:
    """Return a transform that attributes name."""
    if "spatial:transform" in attributes:
        return Affine(*attributes["spatial:transform"][:6])
    if "GeoTransform" in attributes:
        return Affine.from_gdal(*map(float, str(attributes["GeoTransform"]).split()))
    return None


def _grid_mapping(dataset: Any, variable: Any) -> dict[str, Any]:
    """Return the attributes of the variable that tells the CRS, as CF names it."""
    named = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping")
    for name in (named, "spatial_ref", "crs"):
        if name in dataset.variables:
            return dict(dataset[name].attrs)
    return {}


def _crs(attributes: Mapping[str, Any]) -> CRS | None:
    """Return the first CRS in attributes that can be read."""
    for key in ("proj:code", "proj:wkt2", "proj:projjson", "crs_wkt", "spatial_ref", "crs"):
        if key in attributes:
            try:
                return CRS.from_user_input(attributes[key])
            except CRSError:
                continue
    if "grid_mapping_name" in attributes:
        try:
            return CRS.from_cf(dict(attributes))
        except (CRSError, KeyError):
            return None
    return None


def _in_degrees(variable: Any, axes: Axes) -> bool:
    """Return whether the axes are latitude and longitude by their names or units."""
    units = {
        variable.coords[name].attrs.get("units")
        for name in (axes.y, axes.x)
        if name in variable.coords
    }
    named = axes.y.lower().startswith("lat") and axes.x.lower().startswith("lon")
    return named or (bool(units) and units <= DEGREES)
