"""Stores that others wrote, Zarr v2 or v3: read through xarray, as if they were mosaics.

One variable `variables` is taken as it is; else all variables on one grid stand side by side as
bands. Dimensions may have other names and another order; rows may run north.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.storage import ObjectStore, StorePath

from landloom.errors import StoreProblem
from landloom.raster.grid import Window
from landloom.raster.store import objects
from landloom.raster.store.axes import Axes, find_axes, grid_of, times_of
from landloom.raster.store.layout import VARIABLE

NODATA = ("nodata", "_FillValue", "missing_value")
"""Attributes that name the number for "no value", where xarray has not masked it already."""


@dataclass(frozen=True, slots=True)
class ForeignStore:
    """What a store says about itself, and how it is read."""

    geobox: GeoBox
    bands: tuple[str, ...]
    times: tuple[np.datetime64, ...]
    time_deltas: tuple[np.timedelta64, ...] | None
    side: int
    """Pixels a side of what is best read together."""
    attributes: Mapping[str, Any]
    dataset: Any
    axes: Axes
    places: tuple[tuple[str, int], ...]
    """For each band its variable and its index on the band axis."""
    flipped: tuple[bool, bool]
    """Whether rows run north and columns west."""


@lru_cache(maxsize=8)
def describe_foreign(uri: str, opening: str) -> ForeignStore:
    """Return the geometry of a store that Landloom did not write, read once an opening.

    Args:
        uri: Of the store.
        opening: Tells one opening from the next: the store may be another one by then.

    Raises:
        StoreProblem: It has no georeferenced variable on a regular grid.
    """
    del opening  # part of the key
    dataset = _open(uri)
    variables, axes = _variables(uri, dataset)
    first = variables[0]
    geobox, *flipped = grid_of(uri, dataset, first, axes)
    labels, places = _bands(variables, axes)
    chunks = first.encoding.get("preferred_chunks", {})
    deltas = first.coords["time_delta"].values if "time_delta" in first.coords else None
    if deltas is None or deltas.dtype.kind != "m":
        time_deltas = None
    else:
        time_deltas = tuple(np.atleast_1d(deltas).astype("m8[s]"))
    return ForeignStore(
        geobox=geobox,
        bands=labels,
        times=times_of(first, axes),
        time_deltas=time_deltas,
        side=int(max(chunks.get(axes.y, 512), chunks.get(axes.x, 512))),
        attributes={key: value for key, value in dataset.attrs.items() if _plain(value)},
        dataset=dataset,
        axes=axes,
        places=places,
        flipped=(flipped[0], flipped[1]),
    )


def read_foreign(
    uri: str, opening: str, time_index: int, bands: Sequence[int], window: Window
) -> NDArray[np.float32]:
    """Return float32 (band, y, x) of a window inside the array; see `describe_foreign`.

    Raises:
        StoreProblem: It cannot be read.
    """
    store = describe_foreign(uri, opening)
    axes = store.axes
    height, width = (int(side) for side in store.geobox.shape)
    rows = _turned(window.y0, window.y1, height, flipped=store.flipped[0])
    columns = _turned(window.x0, window.x1, width, flipped=store.flipped[1])
    place: dict[str, Any] = {axes.y: rows, axes.x: columns}
    if axes.time:
        place[axes.time] = time_index
    step_y, step_x = (-1 if flipped else 1 for flipped in store.flipped)
    out = np.empty((len(bands), *window.shape_yx), np.float32)
    for slot, band in enumerate(bands):
        name, index = store.places[band]
        variable = store.dataset[name]
        if axes.band:
            # One by one: zarr takes minutes over a list of indexes where a number takes a moment.
            place[axes.band] = index
        try:
            part = variable.isel(place).transpose(axes.y, axes.x).values
        except Exception as error:
            raise StoreProblem(f"Cannot read {name!r} of {uri}: {error}") from error
        out[slot] = _masked(part, variable.attrs)[::step_y, ::step_x]
    return out


def _open(uri: str) -> Any:
    """Return the dataset at `uri`: of a pyramid without pixels at its root, the finest level."""
    location = objects.resolve(uri)
    path = StorePath(ObjectStore(location.store, read_only=True), location.path.rstrip("/"))
    try:
        dataset = _dataset(path)
        if dataset.data_vars or "multiscales" not in dataset.attrs:
            return dataset
        finest = _dataset(path / _finest(dataset.attrs["multiscales"]))
    except Exception as error:
        raise StoreProblem(
            f"Cannot open {uri} as a Zarr store: {error}",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        ) from error
    return finest.assign_attrs({**dataset.attrs, **finest.attrs})


def _dataset(path: StorePath) -> Any:
    try:
        return xr.open_zarr(path, consolidated=True, chunks=None)
    except (KeyError, ValueError):
        return xr.open_zarr(path, consolidated=False, chunks=None)


def _finest(multiscales: Any) -> str:
    """Return the path of a pyramid's first level, by either of the conventions in use."""
    if isinstance(multiscales, list):
        return str(multiscales[0]["datasets"][0]["path"])
    return str(multiscales["layout"][0]["asset"])


def _variables(uri: str, dataset: Any) -> tuple[list[Any], Axes]:
    """Return the variables that lie on one grid, and their axes."""
    names = [VARIABLE] if VARIABLE in dataset.data_vars else list(dataset.data_vars)
    numeric = [dataset[name] for name in names if dataset[name].dtype.kind in "iufb"]
    found = [(each, axes) for each in numeric if (axes := find_axes(dataset, each))]
    if not found:
        raise StoreProblem(
            f"{uri} is not a mosaic: no variable in it has two dimensions of space.",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        )
    first, axes = found[0]
    return [each for each, other in found if other == axes and each.sizes == first.sizes], axes


def _bands(
    variables: Sequence[Any], axes: Axes
) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Return labels, and for each its variable and index."""
    labels, places = [], []
    for variable in variables:
        name = str(variable.name)
        if axes.band is None:
            labels.append(name)
            places.append((name, 0))
            continue
        count = variable.sizes[axes.band]
        values = variable.coords[axes.band].values if axes.band in variable.coords else None
        for index in range(count):
            label = str(index + 1) if values is None else str(values[index])
            labels.append(label if len(variables) == 1 else f"{name}:{label}")
            places.append((name, index))
    return tuple(labels), tuple(places)


def _turned(start: int, stop: int, length: int, *, flipped: bool) -> slice:
    return slice(length - stop, length - start) if flipped else slice(start, stop)


def _masked(part: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return pixels as float32, NaN where they say that there is no value."""
    pixels = np.array(part, np.float32)
    for key in NODATA:
        if key in attributes:
            pixels[part == attributes[key]] = np.nan
    return pixels


def _plain(value: Any) -> bool:
    """Return whether an attribute can be written to another store."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
