"""The mosaic store: a cube (time, band, y, x) in Zarr v3.

Pixels are stored as float32, NaN where there is no value, or as uint8, 0 where there is none; they
are read as float32 with NaN in either case. One shard holds all bands of one tile at one time and
is written by one task in one go, so a shard is there whole or not at all: that is what lets a
workflow be killed and go on.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landloom.errors import InvalidInput, StoreProblem
from landloom.raster.grid import Window
from landloom.raster.store import layout, objects
from landloom.raster.store.companions import companion
from landloom.raster.store.objects import join
from landloom.raster.store.shard import FILLS, ShardEncoder
from landloom.raster.store.shards import ShardedArray

COMPLETE = "landloom:complete"
"""Attribute that `finish` sets: every shard is there."""

DEFAULT_SHARD = 2048
DEFAULT_CHUNK = 512

type SubTile = tuple[Window, NDArray[np.float32]] | tuple[Window, NDArray[np.float32], int]
"""A window in array pixels, its pixels (band, y, x), and which band is first where some are."""


@dataclass(frozen=True)
class CubeStore:
    """An open store. Make one with `create` or `open`; it is safe to share between threads."""

    uri: str
    geobox: GeoBox
    bands: tuple[str, ...]
    times: tuple[np.datetime64, ...]
    shard: int
    """Pixels a side of a shard: the unit of writing."""
    chunk: int
    """Pixels a side of an inner chunk: the unit of reading."""
    attributes: Mapping[str, Any]
    native: bool = True
    """Whether shards have the layout that `write_shard` writes; any other is read-only."""
    dtype: str = "float32"
    """How pixels are stored: float32 or uint8."""
    time_deltas: tuple[np.timedelta64, ...] | None = None
    """Length of each time step, in change products."""
    opening: str = field(default="", compare=False)
    """Of a store of others: tells this opening from the next, see `describe_foreign`."""

    @classmethod
    def create(  # noqa: PLR0913 - what a store is
        cls,
        uri: str,
        *,
        geobox: GeoBox,
        bands: Sequence[str],
        times: Sequence[np.datetime64],
        attributes: Mapping[str, Any],
        shard: int = DEFAULT_SHARD,
        chunk: int = DEFAULT_CHUNK,
        time_deltas: Sequence[np.timedelta64] | None = None,
        dtype: str = "float32",
    ) -> CubeStore:
        """Make a store without pixels, or reopen the one that is there with the same geometry.

        Args:
            uri: Where; `s3://`, `file://` or a path, by convention ending in `.zarr`.
            geobox: CRS, transform and shape of the grid.
            bands: Labels, unique.
            times: Start of each time step, ascending, in UTC.
            attributes: Further attributes of the root.
            shard: Pixels a side of a shard, a multiple of `chunk`.
            chunk: Pixels a side of an inner chunk.
            time_deltas: Length of each time step, for change products.
            dtype: How pixels are stored: float32, or uint8 with 0 for "no value".

        Raises:
            StoreProblem: There is another store at `uri`, or it cannot be written.
        """
        if shard % chunk or len(set(bands)) != len(bands) or not bands or not times:
            raise StoreProblem(
                f"Cannot make {uri}: it needs times, unique band labels (given: {list(bands)}) and"
                f" a shard size ({shard}) that is a multiple of the chunk size ({chunk})."
            )
        if dtype not in FILLS:
            raise StoreProblem(f"Cannot make {uri}: {dtype} is none of {', '.join(FILLS)}.")
        wanted = cls(
            uri,
            geobox,
            tuple(bands),
            tuple(times),
            shard,
            chunk,
            {"Conventions": "CF-1.8", **layout.georeference(geobox), COMPLETE: False, **attributes},
            dtype=dtype,
            time_deltas=None if time_deltas is None else tuple(time_deltas),
        )
        if objects.exists(join(uri, "zarr.json")):
            return _reopen(wanted, attributes)
        # The root comes last: a store is there once its root is.
        _write_json(join(uri, "zarr.json"), wanted._write_arrays())
        return wanted

    @classmethod
    def open(cls, uri: str) -> CubeStore:
        """Open the store at `uri`, ours or any georeferenced one with the same variable and dims.

        Raises:
            StoreProblem: There is none, or it is not a mosaic.
        """
        document = _root(uri)
        attributes = document.get("attributes", {})
        members = document.get("consolidated_metadata", {}).get("metadata", {})
        array = members.get(layout.VARIABLE, {})
        sizes = _native_sizes(array)
        if sizes is None or "spatial:transform" not in attributes:
            from landloom.raster.store.foreign import describe_foreign  # noqa: PLC0415 - xarray

            opening = secrets.token_hex(8)
            found = describe_foreign(uri, opening)
            return cls(
                uri,
                found.geobox,
                found.bands,
                found.times,
                found.side,
                found.side,
                found.attributes,
                native=False,
                time_deltas=found.time_deltas,
                opening=opening,
            )
        crs = attributes.get("proj:code") or attributes["proj:wkt2"]
        geobox = GeoBox(tuple(array["shape"][2:]), Affine(*attributes["spatial:transform"]), crs)
        bands = layout.decode_strings(objects.read_bytes(join(uri, "band", "c/0")))
        times = layout.decode_times(
            objects.read_bytes(join(uri, "time", "c/0")),
            members["time"]["attributes"]["units"],
        )
        deltas = None
        if "time_delta" in members:
            deltas = layout.decode_deltas(objects.read_bytes(join(uri, "time_delta", "c/0")))
        return cls(
            uri,
            geobox,
            bands,
            times,
            *sizes,
            attributes,
            dtype=str(array["data_type"]),
            time_deltas=deltas,
        )

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        height, width = self.geobox.shape
        return int(height), int(width)

    @property
    def resolution(self) -> float:
        """Pixel size in units of the CRS."""
        return float(self.geobox.affine.a)

    @property
    def complete(self) -> bool:
        """Whether `finish` was called on the store before it was opened."""
        return bool(self.attributes.get(COMPLETE, False))

    def companion(self, name: str) -> str:
        """Return the URI of a file beside the data, such as `scenes.json`."""
        return companion(self.uri, name)

    def require_bands(self, bands: Sequence[str], field: str) -> None:
        """Hold a request's bands against the store's.

        Args:
            bands: Labels.
            field: Of the request, for the error.

        Raises:
            InvalidInput: The store lacks one.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise InvalidInput(
                f"{self.uri} has no band {', '.join(map(repr, missing))}.",
                suggestion=f"Its bands are {', '.join(self.bands)}.",
                field=field,
            )

    def shard_window(self, iy: int, ix: int) -> Window:
        """Return the pixels of shard (iy, ix) that lie inside the array."""
        return self._array.window(iy, ix)

    def shard_uri(self, time_index: int, iy: int, ix: int) -> str:
        """Return where a shard lies."""
        return self._array.shard_uri(time_index, iy, ix)

    def has_shard(self, time_index: int, iy: int, ix: int) -> bool:
        """Return whether a shard is written; if it is, it is whole."""
        return objects.exists(self.shard_uri(time_index, iy, ix))

    def finished_shards(self) -> set[tuple[int, int, int]]:
        """Return (time index, iy, ix) of every shard that is written, by one listing."""
        root = join(self.uri, layout.VARIABLE, "c")
        keys = (uri.removeprefix(root).strip("/").split("/") for uri in objects.list_objects(root))
        return {
            (int(key[0]), int(key[2]), int(key[3]))
            for key in keys
            # Anything else is what a killed writer left: an unfinished upload has another name.
            if len(key) == len(layout.DIMENSIONS) and all(part.isdigit() for part in key)
        }

    def write_shard(self, time_index: int, iy: int, ix: int, subtiles: Iterable[SubTile]) -> None:
        """Write one shard from its sub-tiles as they come; it appears at once or not at all.

        Sub-tiles cover the shard's part of the array, band by band or all bands at once, exactly
        once and in any order. Their windows are in array pixels. Memory is that of the inner chunks
        not yet complete, not of the shard.

        Raises:
            StoreProblem: Sub-tiles do not fit or do not cover the shard, or writing failed.
        """
        if not self.native:
            raise StoreProblem(f"{self.uri} was not made by Landloom and is only read.")
        window = self.shard_window(iy, ix)
        encoder = ShardEncoder(len(self.bands), self.shard, self.chunk, window.shape_yx, self.dtype)

        def stream() -> Iterator[bytes]:
            for place, *pixels in subtiles:
                yield from encoder.feed(place.shifted(-window.y0, -window.x0), *pixels)
            yield encoder.finish()

        uri = self.shard_uri(time_index, iy, ix)
        objects.write_bytes(uri, stream())
        self._array.forget(uri)

    def read(
        self, time_index: int, bands: Sequence[str] | None, window: Window
    ) -> NDArray[np.float32]:
        """Return float32 (band, y, x) of a window, which may reach beyond the array: NaN there.

        Args:
            time_index: Which time step.
            bands: Labels in the order wanted; None is all.
            window: In array pixels.

        Raises:
            StoreProblem: There is no such band or time, or a shard cannot be read.
        """
        wanted = self._band_indexes(bands)
        if not 0 <= time_index < len(self.times):
            raise StoreProblem(f"{self.uri} has {len(self.times)} time steps, no {time_index}.")
        if self.native:
            return self._array.read(time_index, wanted, window)
        out = np.full((len(wanted), *window.shape_yx), np.nan, np.float32)
        inside = window.clipped(Window(0, 0, *self.shape_yx))
        if not inside.empty:
            from landloom.raster.store.foreign import read_foreign  # noqa: PLC0415 - xarray

            rows, columns = inside.shifted(-window.y0, -window.x0).slices()
            pixels = read_foreign(self.uri, self.opening, time_index, wanted, inside)
            out[:, rows, columns] = pixels
        return out

    def finish(self, attributes: Mapping[str, Any]) -> CubeStore:
        """Mark the store complete, add attributes to its root, and return it as it now is."""
        uri = join(self.uri, "zarr.json")
        document = json.loads(objects.read_bytes(uri))
        document["attributes"] |= {**attributes, COMPLETE: True}
        _write_json(uri, document)
        return replace(self, attributes=document["attributes"])

    def _write_arrays(self) -> layout.Document:
        """Write the coordinates and the documents of all arrays; return that of their group."""
        arrays = layout.coordinates(self.geobox, self.bands, self.times, self.time_deltas)
        documents = {name: document for name, (document, _) in arrays.items()}
        documents[layout.VARIABLE] = layout.variable(
            (len(self.times), len(self.bands), *self.shape_yx),
            self.shard,
            self.chunk,
            with_delta=self.time_deltas is not None,
            dtype=self.dtype,
        )
        for name, (_, data) in arrays.items():
            key = "c/0" if documents[name]["shape"] else "c"
            objects.write_bytes(join(self.uri, name, key), data)
        for name, document in documents.items():
            _write_json(join(self.uri, name, "zarr.json"), document)
        return layout.root(self.attributes, documents)

    @cached_property
    def _array(self) -> ShardedArray:
        uri = join(self.uri, layout.VARIABLE)
        return ShardedArray(uri, len(self.bands), self.shape_yx, self.shard, self.chunk, self.dtype)

    def _band_indexes(self, bands: Sequence[str] | None) -> list[int]:
        if bands is None:
            return list(range(len(self.bands)))
        try:
            self.require_bands(bands, "bands")
        except InvalidInput as error:
            raise StoreProblem(error.message, suggestion=error.suggestion) from error
        return [self.bands.index(band) for band in bands]


def _reopen(wanted: CubeStore, attributes: Mapping[str, Any]) -> CubeStore:
    """Return the store that is there if it is the one wanted."""
    found = CubeStore.open(wanted.uri)
    same = (
        found.native
        and found.geobox.crs == wanted.geobox.crs
        and found.geobox.shape == wanted.geobox.shape
        and found.geobox.affine.almost_equals(wanted.geobox.affine, 1e-9)
        and found.bands == wanted.bands
        and np.array_equal(
            np.array(found.times, "datetime64[s]"), np.array(wanted.times, "datetime64[s]")
        )
        and (found.shard, found.chunk, found.dtype) == (wanted.shard, wanted.chunk, wanted.dtype)
        and all(found.attributes.get(key) == value for key, value in attributes.items())
    )
    if not same:
        raise StoreProblem(
            f"There is another mosaic at {wanted.uri}.",
            suggestion="Choose another output, or delete that store.",
        )
    return found


def _root(uri: str) -> layout.Document:
    """Return the root's document; of a store in Zarr v2, which has another one, an empty one."""
    try:
        document: layout.Document = json.loads(objects.read_bytes(join(uri, "zarr.json")))
    except StoreProblem as error:
        if objects.exists(join(uri, ".zgroup")) or objects.exists(join(uri, ".zmetadata")):
            return {}
        raise StoreProblem(
            f"There is no mosaic at {uri}: {error.message}",
            suggestion="Pass the URI of a store made by build_mosaics or predict_mosaic.",
        ) from error
    return document


def _native_sizes(array: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (shard, chunk) if an array has the very layout we write, else None."""
    shape = array.get("shape", ())
    codecs = array.get("codecs", [])
    if len(shape) != len(layout.DIMENSIONS) or len(codecs) != 1:
        return None
    inner = codecs[0].get("configuration", {}).get("chunk_shape", [0])
    outer = array["chunk_grid"].get("configuration", {}).get("chunk_shape", [0])
    shard, chunk = int(outer[-1]), int(inner[-1])
    if not chunk:
        return None
    dtype = str(array["data_type"])
    if dtype not in FILLS:
        return None
    ours = layout.variable(tuple(shape), shard, chunk, with_delta=False, dtype=dtype)
    keys = ("data_type", "chunk_grid", "chunk_key_encoding", "codecs", "dimension_names")
    return (
        (shard, chunk) if all(_layout(array, key) == _layout(ours, key) for key in keys) else None
    )


def _layout(array: Mapping[str, Any], key: str) -> Any:
    """Return what a document says, but for how blosc was set: its frames tell that themselves."""
    said = array.get(key)
    if key != "codecs":
        return said
    plain = json.loads(json.dumps(said))
    for codec in plain[0].get("configuration", {}).get("codecs", []):
        if codec.get("name") == "blosc":
            codec["configuration"] = {"typesize": codec["configuration"].get("typesize")}
    return plain


def _write_json(uri: str, document: Mapping[str, Any]) -> None:
    objects.write_bytes(uri, json.dumps(document, indent=1).encode())
