"""A small TIFF header reader: where the blocks of a single-band GeoTIFF are and how to decode them.

It knows what Cloud-Optimized GeoTIFFs of satellite archives use: little-endian TIFF and BigTIFF,
tiles or strips, one sample a pixel, deflate, LZW, zstd or no compression, predictors 1 to 3.
Anything else raises `UnsupportedTiff`, and GDAL reads the file instead. Reading blocks by hand and
inflating them with libdeflate takes two thirds of GDAL's time. Tags are those of TIFF 6.0, GeoTIFF
1.1 (OGC 19-008r4) and GDAL's nodata tag.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from affine import Affine
from numpy.typing import NDArray

HEADER_BYTES = 32768
"""Read at once: the header of a COG, tag arrays of a whole scene included, is smaller."""

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES = 256, 257, 258, 259, 277
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_COUNTS, PREDICTOR = 273, 278, 279, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT = 322, 323, 324, 325, 339
PIXEL_SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS, NODATA = 33550, 33922, 34264, 34735, 42113

MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC_CRS, PROJECTED_CRS = 1024, 1025, 2048, 3072
PIXEL_IS_POINT = 2
MODEL_GEOGRAPHIC = 2
USER_DEFINED = 32767

NO_COMPRESSION, LZW, DEFLATE, OLD_DEFLATE, ZSTD = 1, 5, 8, 32946, 50000
NO_PREDICTOR, HORIZONTAL, FLOATING_POINT = 1, 2, 3

FIELD_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
BIG_FIELD_FORMATS = {16: "Q", 17: "q", 18: "Q"}
SAMPLE_KINDS = {1: "u", 2: "i", 3: "f"}

type ReadBytes = Callable[[int, int], bytes]
"""Reads (offset, length) of a file; shorter at its end."""


class UnsupportedTiff(Exception):
    """The file is no TIFF, or one of a kind that this reader leaves to GDAL."""


@dataclass(frozen=True)
class TiffLayout:
    """Where a raster's blocks are, what they hold and where it lies."""

    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    block_yx: tuple[int, int]
    compression: int
    predictor: int
    offsets: NDArray[np.int64]
    """Byte offset of each block, row by row; 0 is a block that was never written."""
    counts: NDArray[np.int64]
    """Length of each block in bytes."""
    transform: Affine
    """Upper left corner of pixel (0, 0), whatever the file's pixel convention."""
    crs: str
    nodata: float | None

    def decode(self, data: bytes) -> NDArray[Any]:
        """Return one block (y, x), padding included; a strip may be shorter than a block.

        Raises:
            ValueError: The bytes are not what the header promises.
        """
        height, width = self.block_yx
        size = height * width * self.dtype.itemsize
        try:
            raw = self._inflate(data, size)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"a block cannot be decoded: {error}") from error
        row = width * self.dtype.itemsize
        if len(raw) % row or not raw:
            raise ValueError(f"a block has {len(raw)} bytes, not {size}")
        if self.predictor == FLOATING_POINT:
            mixed = np.frombuffer(raw, self.dtype).reshape(-1, width)
            restored: NDArray[Any] = imagecodecs.floatpred_decode(mixed, axis=-1)
            return restored.reshape(-1, width)
        pixels = np.frombuffer(raw, self.dtype).reshape(-1, width)
        if self.predictor == HORIZONTAL:
            differences: NDArray[Any] = imagecodecs.delta_decode(pixels, axis=-1)
            return differences
        return pixels

    def _inflate(self, data: bytes, size: int) -> bytes:
        if self.compression in {DEFLATE, OLD_DEFLATE}:
            return bytes(imagecodecs.deflate_decode(data, out=size))
        if self.compression == LZW:
            return bytes(imagecodecs.lzw_decode(data, out=size))
        if self.compression == ZSTD:
            return bytes(imagecodecs.zstd_decode(data, out=size))
        return data


def parse_tiff(read: ReadBytes) -> TiffLayout:
    """Return the layout of a TIFF's first image.

    Raises:
        UnsupportedTiff: It is no TIFF, or not one of the common kind.
    """
    tags = _read_tags(read)
    if tags.get(SAMPLES, (1,))[0] != 1:
        raise UnsupportedTiff("more than one sample a pixel")
    height, width = int(tags[HEIGHT][0]), int(tags[WIDTH][0])
    tiled = TILE_OFFSETS in tags
    if tiled:
        block = int(tags[TILE_HEIGHT][0]), int(tags[TILE_WIDTH][0])
    else:
        block = min(int(tags.get(ROWS_PER_STRIP, (height,))[0]), height), width
    compression = int(tags.get(COMPRESSION, (NO_COMPRESSION,))[0])
    predictor = int(tags.get(PREDICTOR, (NO_PREDICTOR,))[0])
    _check_codec(compression, predictor)
    nodata = bytes(tags[NODATA][0]).split(b"\0")[0] if NODATA in tags else b""
    return TiffLayout(
        shape_yx=(height, width),
        dtype=_dtype(tags),
        block_yx=block,
        compression=compression,
        predictor=predictor,
        offsets=np.array(tags[TILE_OFFSETS if tiled else STRIP_OFFSETS], np.int64),
        counts=np.array(tags[TILE_COUNTS if tiled else STRIP_COUNTS], np.int64),
        transform=_transform(tags),
        crs=_crs(_geo_keys(tags)),
        nodata=float(nodata) if nodata.strip() else None,
    )


def _read_tags(read: ReadBytes) -> dict[int, Any]:
    """Return the tags of the first directory as tuples of values, texts as a tuple of bytes."""
    head = read(0, HEADER_BYTES)
    if head[:4] == b"II*\0":
        (start,), big = struct.unpack_from("<I", head, 4), False
    elif head[:4] == b"II+\0":
        (start,), big = struct.unpack_from("<Q", head, 8), True
    else:
        raise UnsupportedTiff("no little-endian TIFF")

    def at(offset: int, length: int) -> bytes:
        inside = head[offset : offset + length]
        data = inside if len(inside) == length else read(offset, length)
        if len(data) != length:
            raise UnsupportedTiff("the header is cut off")
        return data

    entry, count_format, pointer = (20, "<Q", "<Q") if big else (12, "<H", "<I")
    (count,) = struct.unpack(count_format, at(start, struct.calcsize(count_format)))
    table = at(start + struct.calcsize(count_format), count * entry)
    formats = {**FIELD_FORMATS, **BIG_FIELD_FORMATS} if big else FIELD_FORMATS
    inline = struct.calcsize(pointer)
    tags: dict[int, Any] = {}
    for position in range(0, len(table), entry):
        tag, kind = struct.unpack_from("<HH", table, position)
        (number,) = struct.unpack_from(pointer, table, position + 4)
        if kind not in formats:
            continue
        layout = f"<{number}{formats[kind]}"
        length = struct.calcsize(layout)
        value = table[position + entry - inline : position + entry]
        if length > inline:
            value = at(struct.unpack(pointer, value)[0], length)
        tags[tag] = struct.unpack_from(layout, value)
    missing = [tag for tag in (WIDTH, HEIGHT) if tag not in tags]
    if missing or not ({TILE_OFFSETS, STRIP_OFFSETS} & tags.keys()):
        raise UnsupportedTiff("no image in the first directory")
    return tags


def _check_codec(compression: int, predictor: int) -> None:
    if compression not in {NO_COMPRESSION, LZW, DEFLATE, OLD_DEFLATE, ZSTD}:
        raise UnsupportedTiff(f"compression {compression}")
    if predictor not in {NO_PREDICTOR, HORIZONTAL, FLOATING_POINT}:
        raise UnsupportedTiff(f"predictor {predictor}")


def _dtype(tags: dict[int, Any]) -> np.dtype[Any]:
    bits = int(tags.get(BITS, (1,))[0])
    kind = SAMPLE_KINDS.get(int(tags.get(SAMPLE_FORMAT, (1,))[0]))
    if kind is None or bits not in {8, 16, 32, 64} or (kind == "f" and bits < 32):  # noqa: PLR2004 - bits
        raise UnsupportedTiff(f"samples of {bits} bits")
    return np.dtype(f"<{kind}{bits // 8}")


def _geo_keys(tags: dict[int, Any]) -> dict[int, int]:
    """Return the GeoKeys that hold one short integer."""
    numbers = tags.get(GEO_KEYS, ())
    entries = [numbers[place : place + 4] for place in range(4, len(numbers) - 3, 4)]
    return {key: value for key, where, _, value in entries if where == 0}


def _crs(keys: dict[int, int]) -> str:
    wanted = GEOGRAPHIC_CRS if keys.get(MODEL_TYPE) == MODEL_GEOGRAPHIC else PROJECTED_CRS
    code = keys.get(wanted, USER_DEFINED)
    if code == USER_DEFINED:
        raise UnsupportedTiff("a CRS without an EPSG code")
    return f"EPSG:{code}"


def _transform(tags: dict[int, Any]) -> Affine:
    if TRANSFORMATION in tags:
        m = tags[TRANSFORMATION]
        transform = Affine(m[0], m[1], m[3], m[4], m[5], m[7])
    elif PIXEL_SCALE in tags and len(tags.get(TIE_POINT, ())) == 6:  # noqa: PLR2004 - one tie point
        dx, dy = tags[PIXEL_SCALE][:2]
        column, row, _, x, y, _ = tags[TIE_POINT]
        transform = Affine(dx, 0, x - column * dx, 0, -dy, y + row * dy)
    else:
        raise UnsupportedTiff("no simple georeference")
    if _geo_keys(tags).get(RASTER_TYPE) == PIXEL_IS_POINT:
        return transform @ Affine.translation(-0.5, -0.5)
    return transform
