"""The documents of a mosaic store: what its `zarr.json` files and coordinate chunks say.

The store is Zarr v3, one data variable `variables` (time, band, y, x), CF-1.8 attributes, a scalar
`spatial_ref` for GDAL-minded readers and the `proj:` and `spatial:` conventions for the others.
Documents are made here and written elsewhere, so that the root, which carries them all as
consolidated metadata, can be written last: a store exists once its root does.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from landloom.errors import StoreProblem
from landloom.raster.store.shard import blosc_configuration

VARIABLE = "variables"
DIMENSIONS = ("time", "band", "y", "x")

CONVENTIONS = [
    {
        "name": "proj",
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "schema_url": (
            "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json"
        ),
        "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
        "description": "Coordinate reference system information for geospatial data",
    },
    {
        "name": "spatial",
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "schema_url": (
            "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json"
        ),
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
        "description": "Spatial coordinate information",
    },
]
"""How a group declares the two conventions, as their specifications ask (v0.1)."""

type Document = dict[str, Any]


def georeference(geobox: GeoBox) -> Document:
    """Return a group's `proj:` and `spatial:` attributes."""
    bounds = geobox.boundingbox
    transform = geobox.affine
    crs = crs_of(geobox)
    attributes: Document = {
        "zarr_conventions": CONVENTIONS,
        "proj:wkt2": crs.to_wkt("WKT2_2019"),
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": list(geobox.shape),
        "spatial:transform": list(transform)[:6],
        "spatial:bbox": [bounds.left, bounds.bottom, bounds.right, bounds.top],
        "spatial:registration": "pixel",
    }
    epsg = crs.to_epsg()
    if epsg is not None:
        attributes["proj:code"] = f"EPSG:{epsg}"
    return attributes


def crs_of(geobox: GeoBox) -> CRS:
    """Return the CRS of a GeoBox.

    Raises:
        StoreProblem: It has none.
    """
    if geobox.crs is None:
        raise StoreProblem("A mosaic needs a CRS, and this grid has none.")
    return geobox.crs.proj


def coordinates(
    geobox: GeoBox,
    bands: Sequence[str],
    times: Sequence[np.datetime64],
    time_deltas: Sequence[np.timedelta64] | None,
) -> dict[str, tuple[Document, bytes]]:
    """Return each coordinate array's document and its only chunk."""
    transform, (height, width) = geobox.affine, geobox.shape
    y = transform.f + (np.arange(height) + 0.5) * transform.e
    x = transform.c + (np.arange(width) + 0.5) * transform.a
    geographic = crs_of(geobox).is_geographic
    unit = ("degrees_north", "degrees_east") if geographic else ("m", "m")
    names = ("latitude", "longitude") if geographic else _PROJECTED_NAMES
    stamps, units = encode_times(times)
    arrays = {
        "time": _array(stamps, ("time",), {"units": units, "calendar": "proleptic_gregorian"}),
        "band": _strings(bands, "band"),
        "y": _array(y, ("y",), _axis("Y", names[0], unit[0])),
        "x": _array(x, ("x",), _axis("X", names[1], unit[1])),
        "spatial_ref": _array(np.array(0, "<i8"), (), _spatial_ref(geobox)),
    }
    if time_deltas is not None:
        deltas = np.array(time_deltas, "timedelta64[s]").astype("<i8")
        attributes = {"units": "seconds", "dtype": "timedelta64[s]"}
        arrays["time_delta"] = _array(deltas, ("time",), attributes)
    return arrays


def variable(
    shape: tuple[int, int, int, int],
    shard: int,
    chunk: int,
    *,
    with_delta: bool,
    dtype: str = "float32",
) -> Document:
    """Return the document of the data variable.

    Without a value are NaN in float32 and 0 in uint8. A uint8 variable says so by `nodata`, which
    rioxarray reads, and not by `_FillValue`, for which xarray would open it as float32.
    """
    names = "spatial_ref time_delta" if with_delta else "spatial_ref"
    attributes: Document = {"grid_mapping": "spatial_ref", "coordinates": names}
    if dtype == "uint8":
        attributes["nodata"] = 0
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [1, shape[1], shard, shard]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if dtype == "float32" else 0,
        "codecs": [{"name": "sharding_indexed", "configuration": _sharding(chunk, dtype)}],
        "attributes": attributes,
        "dimension_names": list(DIMENSIONS),
        "storage_transformers": [],
    }


def root(attributes: Mapping[str, Any], arrays: Mapping[str, Document]) -> Document:
    """Return the group's document with all arrays' documents in it."""
    consolidated = {"kind": "inline", "must_understand": False, "metadata": dict(arrays)}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": consolidated,
    }


def encode_times(times: Sequence[np.datetime64]) -> tuple[NDArray[np.int64], str]:
    """Return CF time numbers and their unit: days since the first, seconds where days won't do."""
    stamps = np.array(times, "datetime64[s]")
    first = stamps[0] if len(stamps) else np.datetime64(0, "s")
    seconds = (stamps - first).astype("<i8")
    whole_days = not (seconds % 86400).any()
    since = str(first).removesuffix("T00:00:00").replace("T", " ")
    if whole_days:
        return seconds // 86400, f"days since {since}"
    return seconds, f"seconds since {since}"


def decode_times(chunk: bytes, units: str) -> tuple[np.datetime64, ...]:
    """Return what `encode_times` and `coordinates` wrote."""
    numbers = np.frombuffer(imagecodecs.zstd_decode(chunk), "<i8")
    unit, _, since = units.partition(" since ")
    step = np.timedelta64(86400 if unit == "days" else 1, "s")
    first = np.datetime64(since.replace(" ", "T"), "s")
    return tuple(first + int(number) * step for number in numbers)


def decode_deltas(chunk: bytes) -> tuple[np.timedelta64, ...]:
    """Return what `coordinates` wrote for the lengths of time steps."""
    seconds = np.frombuffer(imagecodecs.zstd_decode(chunk), "<i8")
    return tuple(np.timedelta64(int(number), "s") for number in seconds)


def decode_strings(chunk: bytes) -> tuple[str, ...]:
    """Return what `coordinates` wrote for the bands."""
    (count,) = struct.unpack_from("<I", chunk)
    offset, values = 4, []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", chunk, offset)
        values.append(chunk[offset + 4 : offset + 4 + length].decode())
        offset += 4 + length
    return tuple(values)


_PROJECTED_NAMES = ("projection_y_coordinate", "projection_x_coordinate")


def _axis(axis: str, name: str, units: str) -> Document:
    return {"axis": axis, "standard_name": name, "units": units}


def _spatial_ref(geobox: GeoBox) -> Document:
    """Return the grid mapping: CF's parameters, WKT and GDAL's GeoTransform."""
    gdal = " ".join(repr(float(number)) for number in geobox.affine.to_gdal())
    crs = crs_of(geobox)
    wkt = crs.to_wkt("WKT2_2019")
    return {**crs.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": gdal}


def _array(values: NDArray[Any], dimensions: tuple[str, ...], attributes: Document) -> Any:
    """Return the document and the chunk of a small numeric array, stored as one zstd frame."""
    codecs: list[Document] = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    ]
    kind = values.dtype
    document = _document(kind.name, values.shape, codecs, dimensions, attributes)
    document["fill_value"] = "NaN" if kind.kind == "f" else 0
    raw = np.ascontiguousarray(values, kind.newbyteorder("<")).tobytes()
    return document, bytes(imagecodecs.zstd_encode(raw, level=3))


def _strings(values: Sequence[str], dimension: str) -> tuple[Document, bytes]:
    """Return the document and the chunk of an array of strings.

    The chunk is Zarr's vlen-utf8: a count, then each string's byte length and bytes.
    """
    codecs: list[Document] = [{"name": "vlen-utf8"}]
    document = _document("string", (len(values),), codecs, (dimension,), {})
    document["fill_value"] = ""
    encoded = [value.encode() for value in values]
    body = b"".join(struct.pack("<I", len(value)) + value for value in encoded)
    return document, struct.pack("<I", len(encoded)) + body


def _document(
    data_type: str,
    shape: tuple[int, ...],
    codecs: list[Document],
    dimensions: tuple[str, ...],
    attributes: Document,
) -> Document:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": data_type,
        "chunk_grid": {
            "name": "regular",
            # A chunk has at least one pixel, also where the array has none.
            "configuration": {"chunk_shape": [max(1, length) for length in shape]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": list(dimensions),
        "storage_transformers": [],
    }


def _sharding(chunk: int, dtype: str) -> Document:
    return {
        "chunk_shape": [1, 1, chunk, chunk],
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": blosc_configuration(dtype)},
        ],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }
