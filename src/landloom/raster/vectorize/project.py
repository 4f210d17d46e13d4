"""From the pixel lattice to geometries: coordinates, reprojection, well-known binary.

The encoder writes the bytes of OGC 06-103r4 (Simple Feature Access 1.2.1, section 8.2) straight
from arrays: no geometry object is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from landloom.errors import InvalidInput
from landloom.raster.grid import lattice_origin
from landloom.raster.kernel import kernel

POLYGON, MULTIPOLYGON = 3, 6
"""Geometry types of well-known binary."""


@dataclass(frozen=True, slots=True)
class Geometries:
    """Geometries and their boxes."""

    wkb: pa.Array
    """Binary; exteriors counter-clockwise, holes clockwise."""
    bounds: NDArray[np.float64]
    """(n, 4): xmin, ymin, xmax, ymax."""


@dataclass(frozen=True)
class Projection:
    """The way from a raster's lattice to a CRS."""

    geobox: GeoBox
    crs: CRS
    """Of the geometries."""
    multipart: bool = False
    """Whether every geometry is a multipolygon."""

    def geometries(self, parts: pa.Array) -> Geometries:
        """Turn lattice shapes (`spill.LATTICE_SHAPE`) into geometries.

        Raises:
            InvalidInput: A vertex has no place in the CRS.
        """
        rings_of_parts = parts.flatten()
        vertices_of_rings = rings_of_parts.flatten()
        vertices = vertices_of_rings.flatten()
        lattice = vertices.flatten().to_numpy().reshape(-1, 2)
        xy = self._coordinates(lattice)
        shape_starts, part_starts = _starts(parts), _starts(rings_of_parts)
        ring_starts = _starts(vertices_of_rings)
        kind = MULTIPOLYGON if self.multipart else POLYGON
        data, offsets = _encode(xy, ring_starts, part_starts, shape_starts, kind)
        first = ring_starts[part_starts[shape_starts]][:-1]
        bounds = np.empty((len(parts), 4))
        if len(parts):
            bounds[:, :2] = np.minimum.reduceat(xy, first)
            bounds[:, 2:] = np.maximum.reduceat(xy, first)
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
        return Geometries(pa.Array.from_buffers(pa.binary(), len(parts), buffers), bounds)

    def _coordinates(self, lattice: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return (n, 2) x, y. They follow from the place in the lattice, whatever the AOI."""
        transform = self.geobox.affine
        rows, columns = lattice[:, 0].astype(np.float64), lattice[:, 1].astype(np.float64)
        try:
            gy0, gx0 = lattice_origin(self.geobox)
        except InvalidInput:  # a foreign store; its own transform is all there is
            x = transform.c + transform.a * columns + transform.b * rows
            y = transform.f + transform.d * columns + transform.e * rows
        else:
            x, y = (columns + gx0) * transform.a, -(rows + gy0) * transform.a
        source = CRS.from_user_input(str(self.geobox.crs))
        if source != self.crs:
            transformer = Transformer.from_crs(source, self.crs, always_xy=True)
            x, y = transformer.transform(x, y)
        xy = np.stack([x, y], axis=1)
        if not np.isfinite(xy).all():
            raise InvalidInput(
                f"Some polygons have no place in {self.crs.name}.",
                suggestion="Choose another target_crs.",
                field="target_crs",
            )
        return xy


def _starts(nested: pa.Array) -> NDArray[np.int64]:
    """Return where each list starts among the flattened values of all."""
    lengths = nested.value_lengths().to_numpy(zero_copy_only=False)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


@kernel
def _encode(
    xy: NDArray[np.float64],
    ring_starts: NDArray[np.int64],
    part_starts: NDArray[np.int64],
    shape_starts: NDArray[np.int64],
    kind: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all geometries and where each starts."""
    shapes = shape_starts.size - 1
    offsets = np.zeros(shapes + 1, np.int64)
    for shape in range(shapes):
        size = 0 if kind == POLYGON else 9
        for part in range(shape_starts[shape], shape_starts[shape + 1]):
            size += 9
            for ring in range(part_starts[part], part_starts[part + 1]):
                size += 4 + 16 * (ring_starts[ring + 1] - ring_starts[ring] + 1)
        offsets[shape + 1] = offsets[shape] + size
    out = np.empty(offsets[shapes], np.uint8)
    raw = xy.view(np.uint8)
    at = 0
    for shape in range(shapes):
        if kind == MULTIPOLYGON:
            at = _header(out, at, kind, shape_starts[shape + 1] - shape_starts[shape])
        for part in range(shape_starts[shape], shape_starts[shape + 1]):
            at = _header(out, at, POLYGON, part_starts[part + 1] - part_starts[part])
            for ring in range(part_starts[part], part_starts[part + 1]):
                begin, end = ring_starts[ring], ring_starts[ring + 1]
                at = _count(out, at, end - begin + 1)
                for vertex in range(begin, end):
                    at = _point(out, at, raw, vertex)
                at = _point(out, at, raw, begin)
    return out, offsets


@kernel
def _header(out: NDArray[np.uint8], at: int, kind: int, members: int) -> int:
    out[at] = 1  # little-endian
    return _count(out, _count(out, at + 1, kind), members)


@kernel
def _count(out: NDArray[np.uint8], at: int, value: int) -> int:
    for byte in range(4):
        out[at + byte] = (value >> (8 * byte)) & 255
    return at + 4


@kernel
def _point(out: NDArray[np.uint8], at: int, raw: NDArray[np.uint8], vertex: int) -> int:
    for byte in range(16):
        out[at + byte] = raw[vertex, byte]
    return at + 16
