"""A small TIFF header reader: where the blocks of a GeoTIFF are and how to decode them.

It knows what Cloud-Optimized GeoTIFFs of satellite archives use: little-endian TIFF and BigTIFF,
tiles or strips, samples side by side in a pixel or each in blocks of its own, deflate, LZW, zstd or
no compression, predictors 1 to 3.
Anything else, and a file with a mask of its own, raises `UnsupportedTiff`, and GDAL reads the file
instead. Reading blocks by hand and inflating them with libdeflate takes two thirds of GDAL's time.
Tags are those of TIFF 6.0, GeoTIFF 1.1 (OGC 19-008r4) and GDAL's nodata tag.
"""

from __future__ import annotations

import struct
from collections.abc import Buffer, Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landloom.raster.mosaic.decode import copy_part, restore_block, restore_part

HEADER_BYTES = 32768
"""Read at once: the header of a COG, tag arrays of a whole scene included, is smaller."""

SUBFILE_TYPE = 254
WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, PLANAR = 256, 257, 258, 259, 277, 284
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_COUNTS, PREDICTOR = 273, 278, 279, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT = 322, 323, 324, 325, 339
PIXEL_SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS, NODATA = 33550, 33922, 34264, 34735, 42113

MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC_CRS, PROJECTED_CRS = 1024, 1025, 2048, 3072
MASK_SUBFILE = 4
"""Bit of the subfile type of a directory that holds a mask of another's image."""

MAX_DIRECTORIES = 256
"""More are not looked at: a chain of directories may be broken, and lead in a circle."""

DIRECTORY_BYTES = 512
"""Read at once of a directory beyond the header: more than most have."""

PIXEL_IS_POINT = 2
MODEL_GEOGRAPHIC = 2
USER_DEFINED = 32767

NO_COMPRESSION, LZW, DEFLATE, OLD_DEFLATE, ZSTD = 1, 5, 8, 32946, 50000
NO_PREDICTOR, HORIZONTAL, FLOATING_POINT = 1, 2, 3
SIDE_BY_SIDE, IN_PLANES = 1, 2

FIELD_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
BIG_FIELD_FORMATS = {16: "Q", 17: "q", 18: "Q"}
SAMPLE_KINDS = {1: "u", 2: "i", 3: "f"}

type ReadBytes = Callable[[int, int], bytes]
"""Reads (offset, length) of a file; shorter at its end."""


class UnsupportedTiff(Exception):
    """The file is no TIFF, or one of a kind that this reader leaves to GDAL."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """How a raster is cut into blocks; equal for all files that are cut alike."""

    shape_yx: tuple[int, int]
    block_yx: tuple[int, int]
    interleaved: int
    """How many samples stand side by side in a block."""

    def number(self, plane: int, by: int, bx: int) -> int:
        """Return the number of the block (by, bx) of a plane."""
        down, across = (
            -(-side // size) for side, size in zip(self.shape_yx, self.block_yx, strict=True)
        )
        return (plane * down + by) * across + bx


@dataclass(frozen=True)
class TiffLayout:
    """Where a raster's blocks are, what they hold and where it lies."""

    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    samples: int
    """Samples of a pixel."""
    planar: bool
    """Whether each sample has blocks of its own, all of one before all of the next."""
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

    @property
    def interleaved(self) -> int:
        """Return how many samples stand side by side in a block."""
        return 1 if self.planar else self.samples

    @property
    def block_bytes(self) -> int:
        """Return the length of an inflated block."""
        height, width = self.block_yx
        return height * width * self.interleaved * self.dtype.itemsize

    @property
    def blocks(self) -> BlockGrid:
        """Return how the raster is cut."""
        return BlockGrid(self.shape_yx, self.block_yx, self.interleaved)

    def inflate(self, data: Buffer, scratch: NDArray[np.uint8]) -> NDArray[Any]:
        """Return a block's samples (row, column * samples) as predicted; a strip may be short.

        Args:
            data: The block as it is stored.
            scratch: At least `block_bytes` long; what is returned may be a view of it.

        Raises:
            ValueError: The bytes are not what the header promises.
        """
        size = self.block_bytes
        try:
            raw = self._inflated(data, scratch[:size])
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"a block cannot be decoded: {error}") from error
        row = size // self.block_yx[0]
        if raw.nbytes % row or not raw.nbytes:
            raise ValueError(f"a block has {raw.nbytes} bytes, not {size}")
        mixed = raw.view(self.dtype).reshape(-1, row // self.dtype.itemsize)
        if self.predictor == FLOATING_POINT:
            restored: NDArray[Any] = imagecodecs.floatpred_decode(mixed, axis=-1)
            return restored.reshape(mixed.shape)
        return mixed

    def decode(self, data: Buffer, scratch: NDArray[np.uint8]) -> NDArray[Any]:
        """Return a block (row, column * samples), padding included, as an array of its own.

        Raises:
            ValueError: The bytes are not what the header promises.
        """
        raw = self.inflate(data, scratch)
        if self.predictor != HORIZONTAL:
            return np.array(raw)
        # Differences are those of the bits, also where they stand for floating point numbers.
        bits = raw.view(f"u{self.dtype.itemsize}")
        block = np.empty_like(bits)
        if self.interleaved == 1:
            restore_part(bits, 0, 1, 0, 0, block)
        else:
            block[:] = bits
            restore_block(block, self.interleaved)
        return block.view(self.dtype)

    def place(
        self,
        data: Buffer,
        scratch: NDArray[np.uint8],
        band: int,
        corner_yx: tuple[int, int],
        out: NDArray[Any],
    ) -> None:
        """Decode one band of a block, from a pixel of the block on, straight into `out` (y, x).

        Raises:
            ValueError: The bytes are not what the header promises, or too few.
        """
        floats = self.predictor == HORIZONTAL and self.dtype.kind == "f"
        raw = self.decode(data, scratch) if floats else self.inflate(data, scratch)
        if raw.shape[0] < corner_yx[0] + out.shape[0]:
            raise ValueError(f"a block has {raw.shape[0]} rows, too few")
        put = restore_part if self.predictor == HORIZONTAL and not floats else copy_part
        put(raw, 0 if self.planar else band, self.interleaved, *corner_yx, out)

    def _inflated(self, data: Buffer, scratch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.compression in {DEFLATE, OLD_DEFLATE}:
            # Its types know bytes only; it fills arrays too, and returns a shorter view of them.
            inflate: Any = imagecodecs.deflate_decode
            found: NDArray[np.uint8] = inflate(data, out=scratch)
            return found
        if self.compression == LZW:
            return np.frombuffer(imagecodecs.lzw_decode(data, out=len(scratch)), np.uint8)
        if self.compression == ZSTD:
            return np.frombuffer(imagecodecs.zstd_decode(data, out=len(scratch)), np.uint8)
        return np.frombuffer(data, np.uint8)


def parse_tiff(read: ReadBytes) -> TiffLayout:
    """Return the layout of a TIFF's first image.

    Raises:
        UnsupportedTiff: It is no TIFF, or not one of the common kind.
    """
    tags = _read_tags(read)
    samples = int(tags.get(SAMPLES, (1,))[0])
    height, width = int(tags[HEIGHT][0]), int(tags[WIDTH][0])
    tiled = TILE_OFFSETS in tags
    if tiled:
        block = int(tags[TILE_HEIGHT][0]), int(tags[TILE_WIDTH][0])
    else:
        block = min(int(tags.get(ROWS_PER_STRIP, (height,))[0]), height), width
    compression = int(tags.get(COMPRESSION, (NO_COMPRESSION,))[0])
    predictor = int(tags.get(PREDICTOR, (NO_PREDICTOR,))[0])
    planar = samples > 1 and int(tags.get(PLANAR, (SIDE_BY_SIDE,))[0]) == IN_PLANES
    _check_codec(compression, predictor, 1 if planar else samples)
    nodata = bytes(tags[NODATA][0]).split(b"\0")[0] if NODATA in tags else b""
    return TiffLayout(
        shape_yx=(height, width),
        dtype=_dtype(tags),
        samples=samples,
        planar=planar,
        block_yx=block,
        compression=compression,
        predictor=predictor,
        offsets=np.array(tags[TILE_OFFSETS if tiled else STRIP_OFFSETS], np.int64),
        counts=np.array(tags[TILE_COUNTS if tiled else STRIP_COUNTS], np.int64),
        transform=_transform(tags),
        crs=_crs(_geo_keys(tags)),
        nodata=float(nodata) if nodata.strip() else None,
    )


class _Head:
    """The beginning of a file, read at once; what lies beyond is read as it is asked for."""

    def __init__(self, read: ReadBytes) -> None:
        self._read = read
        self._bytes = read(0, HEADER_BYTES)
        if self._bytes[:4] == b"II*\0":
            self.big = False
            (self.first,) = struct.unpack_from("<I", self._bytes, 4)
        elif self._bytes[:4] == b"II+\0":
            self.big = True
            (self.first,) = struct.unpack_from("<Q", self._bytes, 8)
        else:
            raise UnsupportedTiff("no little-endian TIFF")
        self.entry, self._count, self.pointer = (20, "<Q", "<Q") if self.big else (12, "<H", "<I")
        self.inline = self.entry - struct.calcsize(self.pointer)
        """Where in an entry its value is, or the place of it."""

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""
        inside = self._bytes[offset : offset + length]
        data = inside if len(inside) == length else self._read(offset, length)
        if len(data) != length:
            raise UnsupportedTiff("the header is cut off")
        return data

    def directory(self, start: int) -> tuple[bytes, int]:
        """Return a directory's entries and where the next directory is, 0 after the last."""
        ahead = self._bytes[start : start + DIRECTORY_BYTES] or self._read(start, DIRECTORY_BYTES)

        def taken(offset: int, length: int) -> bytes:
            data = ahead[offset : offset + length]
            return data if len(data) == length else self.at(start + offset, length)

        skip = struct.calcsize(self._count)
        (count,) = struct.unpack(self._count, taken(0, skip))
        length = count * self.entry
        table = taken(skip, length + struct.calcsize(self.pointer))
        return table[:length], int(struct.unpack_from(self.pointer, table, length)[0])


def _read_tags(read: ReadBytes) -> dict[int, Any]:
    """Return the tags of the first directory as tuples of values, texts as a tuple of bytes."""
    head = _Head(read)
    table, following = head.directory(head.first)
    formats = {**FIELD_FORMATS, **BIG_FIELD_FORMATS} if head.big else FIELD_FORMATS
    tags: dict[int, Any] = {}
    for position in range(0, len(table), head.entry):
        tag, kind = struct.unpack_from("<HH", table, position)
        (number,) = struct.unpack_from(head.pointer, table, position + 4)
        if kind not in formats:
            continue
        layout = f"<{number}{formats[kind]}"
        length = struct.calcsize(layout)
        value = table[position + head.inline : position + head.entry]
        if length > len(value):
            value = head.at(struct.unpack(head.pointer, value)[0], length)
        tags[tag] = struct.unpack_from(layout, value)
    missing = [tag for tag in (WIDTH, HEIGHT) if tag not in tags]
    if missing or not ({TILE_OFFSETS, STRIP_OFFSETS} & tags.keys()):
        raise UnsupportedTiff("no image in the first directory")
    if _has_mask(head, following):
        raise UnsupportedTiff("a mask of its own")
    return tags


def _has_mask(head: _Head, start: int) -> bool:
    """Return whether a directory from `start` on holds a mask."""
    for _ in range(MAX_DIRECTORIES):
        if not start:
            return False
        table, start = head.directory(start)
        for position in range(0, len(table), head.entry):
            (tag,) = struct.unpack_from("<H", table, position)
            (kind,) = struct.unpack_from("<I", table, position + head.inline)
            if tag == SUBFILE_TYPE and kind & MASK_SUBFILE:
                return True
    return False


def _check_codec(compression: int, predictor: int, interleaved: int) -> None:
    if compression not in {NO_COMPRESSION, LZW, DEFLATE, OLD_DEFLATE, ZSTD}:
        raise UnsupportedTiff(f"compression {compression}")
    if predictor not in {NO_PREDICTOR, HORIZONTAL, FLOATING_POINT}:
        raise UnsupportedTiff(f"predictor {predictor}")
    if predictor == FLOATING_POINT and interleaved > 1:
        raise UnsupportedTiff("floating point predictor over several samples")


def _dtype(tags: dict[int, Any]) -> np.dtype[Any]:
    sizes, formats = set(tags.get(BITS, (1,))), set(tags.get(SAMPLE_FORMAT, (1,)))
    if len(sizes) > 1 or len(formats) > 1:
        raise UnsupportedTiff("samples of several types")
    bits, kind = int(sizes.pop()), SAMPLE_KINDS.get(int(formats.pop()))
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
        dy = abs(dy)  # some writers negate it; such rasters are north-up, too, as in GDAL
        column, row, _, x, y, _ = tags[TIE_POINT]
        transform = Affine(dx, 0, x - column * dx, 0, -dy, y + row * dy)
    else:
        raise UnsupportedTiff("no simple georeference")
    if _geo_keys(tags).get(RASTER_TYPE) == PIXEL_IS_POINT:
        return transform @ Affine.translation(-0.5, -0.5)
    return transform
