"""From the pixel lattice to coordinates of a CRS.

A transformation costs PROJ some 0.4 microseconds a point and smooths nothing that a cubic does not
follow: it is computed on nodes each 64 px of the lattice and interpolated between them by cubic
Lagrange polynomials. A node has one value wherever it is used, so a corner has one, too, whatever
rows it is computed with. Where that would be off by more than TOLERANCE_PIXELS, and where longitude
jumps, every point is transformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from landloom.errors import InvalidInput
from landloom.raster.antimeridian import HALF_TURN, mended
from landloom.raster.grid import lattice_origin, patch_origin, plane_crs
from landloom.raster.kernel import kernel
from landloom.raster.vectorize import poles
from landloom.raster.vectorize.shapes import Shapes, bounds_of
from landloom.raster.vectorize.wkb import LINESTRING, MULTIPOLYGON, POLYGON, encode

SPACING = 64
"""Pixels between nodes."""

TOLERANCE_PIXELS = 1e-6
"""Greatest error of the interpolation: ten micrometres at 10 m, far below what a pixel means."""

PROBES = 5
"""The error is measured in this many cells a side, spread over the raster, at their middles."""

JUMP_DEGREES = 90.0
"""Neighbouring nodes further apart than this lie on both sides of the antimeridian or a pole."""


ACROSS = 17
"""Points a side of the raster that tell whether longitude jumps in it; its corners are among them,
and a meridian that enters a raster between two corners passes between points."""


def output_crs(epsg: int) -> CRS:
    """Return the CRS that geometries are wanted in.

    Raises:
        InvalidInput: There is none of this code, or none of a plane.
    """
    return plane_crs(f"EPSG:{epsg}")


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

    def geometries(self, shapes: Shapes, *, lines: bool = False) -> Geometries:
        """Turn shapes into geometries.

        Args:
            shapes: Corners in array pixels; with `lines`, pixel centres in half pixels.
            lines: Whether shapes are open lines.

        Raises:
            InvalidInput: A vertex has no place in the CRS.
            StoreProblem: A geometry is too large for the format.
        """
        shapes, xy = self.outlines(shapes, lines=lines)
        kind = LINESTRING if lines else MULTIPOLYGON if self.multipart else POLYGON
        found = Geometries(encode(shapes, xy, kind), bounds_of(xy, shapes.vertex_starts()))
        return _cut(found, kind) if self.crs.is_geographic else found

    def outlines(
        self, shapes: Shapes, *, lines: bool = False
    ) -> tuple[Shapes, NDArray[np.float64]]:
        """Return shapes and (corners, 2) x, y of their corners.

        In degrees and near a pole shapes have further corners; see `poles`.

        Args:
            shapes: As `geometries` takes them.
            lines: As it does.

        Raises:
            InvalidInput: A vertex has no place in the CRS.
        """
        unit = 0.5 if lines else 1.0
        xy = self.coordinates(shapes.vertices, unit)
        if not self._reaches_pole or not len(xy):
            return shapes, xy
        plane = self._plane(shapes.vertices * unit + self.origin)
        pixel = abs(self.geobox.affine.a)
        return poles.with_bends(shapes, plane, xy, self._transformer, pixel, closed=not lines)

    def coordinates(self, lattice: NDArray[np.int32], unit: float = 1.0) -> NDArray[np.float64]:
        """Return (n, 2) x, y of points; they follow from the place in the lattice, not the AOI.

        Args:
            lattice: (n, 2) y, x counted from the array's first pixel.
            unit: Pixels that 1 stands for.

        Raises:
            InvalidInput: A point has no place in the CRS.
        """
        xy = self._interpolated(lattice, unit) if len(lattice) and self._is_smooth else None
        if xy is None and self._source == self.crs and self._on_lattice:
            pixel = self.geobox.affine.a
            return _scaled(lattice, unit, self.origin, np.array([-pixel, pixel]))
        if xy is None:
            xy = self._exact(lattice * unit + self.origin)
        if not np.isfinite(xy).all():
            raise InvalidInput(
                f"Some polygons have no place in {self.crs.name}.",
                suggestion="Choose another target_crs.",
                field="target_crs",
            )
        return xy

    @cached_property
    def origin(self) -> NDArray[np.float64]:
        """Lattice index (y, x) of the array's first pixel; of a foreign store it is (0, 0)."""
        return np.array(patch_origin(self.geobox), float)

    @cached_property
    def crosses_antimeridian(self) -> bool:
        """Whether longitudes of the raster jump, so that some geometries are cut in two."""
        return self._jumps(self._spread)

    @cached_property
    def _spread(self) -> NDArray[np.float64]:
        """(ACROSS, ACROSS, 2) x, y of points all over the raster."""
        height, width = (int(side) for side in self.geobox.shape)
        rows, columns = np.meshgrid(
            np.linspace(0, height, ACROSS), np.linspace(0, width, ACROSS), indexing="ij"
        )
        places = np.stack([rows.ravel(), columns.ravel()], axis=1) + self.origin
        return self._exact(places).reshape(ACROSS, ACROSS, 2)

    @cached_property
    def _reaches_pole(self) -> bool:
        """Whether edges of the raster's pixels may bend in degrees so that it matters."""
        if not self.crs.is_geographic or self._source.is_geographic:
            return False
        return bool(np.abs(self._spread[..., 1]).max() > poles.NEAR)

    @property
    def _transformer(self) -> Transformer:
        return Transformer.from_crs(self._source, self.crs, always_xy=True)

    @cached_property
    def _on_lattice(self) -> bool:
        try:
            lattice_origin(self.geobox)
        except InvalidInput:
            return False
        return True

    @cached_property
    def _source(self) -> CRS:
        return CRS.from_user_input(str(self.geobox.crs))

    def _exact(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 2) x, y of (n, 2) y, x counted from the lattice's origin."""
        xy = self._plane(points)
        return xy if self._source == self.crs else np.stack(self._transformer.transform(*xy.T), 1)

    def _plane(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 2) x, y in the raster's CRS of (n, 2) y, x from the lattice's origin."""
        transform = self.geobox.affine
        rows, columns = points.T
        if self._on_lattice:
            x, y = columns * transform.a, -rows * transform.a
        else:  # its own transform is all there is
            x = transform.c + transform.a * columns + transform.b * rows
            y = transform.f + transform.d * columns + transform.e * rows
        return np.stack([x, y], axis=1)

    @cached_property
    def _is_smooth(self) -> bool:
        """Whether interpolation is worth it and close enough over the whole raster."""
        if self._source == self.crs:
            return False  # exact costs one product
        height, width = (int(side) for side in self.geobox.shape)
        probes = np.linspace(0, 1, PROBES)
        y, x = np.meshgrid(np.floor(probes * height), np.floor(probes * width), indexing="ij")
        places = np.stack([y.ravel(), x.ravel()], axis=1) + self.origin
        middles = (np.floor(places / SPACING) + 0.5) * SPACING
        offsets = np.stack(np.meshgrid(_AROUND, _AROUND, indexing="ij"), axis=-1) * SPACING
        nodes = self._exact((middles[:, None, None] + offsets).reshape(-1, 2)).reshape(-1, 4, 4, 2)
        if not np.isfinite(nodes).all() or any(self._jumps(each) for each in nodes):
            return False
        found = np.einsum("i,nijk,j->nk", _MIDDLE, nodes, _MIDDLE)
        exact = self._exact(np.concatenate([middles, middles + np.array([0.0, 1.0])]))
        wanted, beside = np.split(exact, 2)
        pixel = np.abs(beside - wanted).max()
        return bool(np.abs(found - wanted).max() <= TOLERANCE_PIXELS * pixel)

    def _interpolated(self, lattice: NDArray[np.int32], unit: float) -> NDArray[np.float64] | None:
        """Return (n, 2) x, y, or None where the nodes around do not allow it."""
        low = np.floor((lattice.min(axis=0) * unit + self.origin) / SPACING).astype(np.int64) - 1
        high = np.floor((lattice.max(axis=0) * unit + self.origin) / SPACING).astype(np.int64) + 2
        nodes = self._nodes(*low, *(high - low + 1))
        if nodes is None:
            return None
        return _interpolate(lattice, unit, self.origin - low * SPACING, nodes)

    def _nodes(self, y: int, x: int, height: int, width: int) -> NDArray[np.float64] | None:
        """Return (height, width, 2) x, y of nodes, or None if they jump or some have no place."""
        rows, columns = np.mgrid[y : y + height, x : x + width]
        places = np.stack([rows.ravel(), columns.ravel()], axis=1) * float(SPACING)
        nodes = self._exact(places).reshape(height, width, 2)
        return None if not np.isfinite(nodes).all() or self._jumps(nodes) else nodes

    def _jumps(self, nodes: NDArray[np.float64]) -> bool:
        """Return whether longitude is not continuous over nodes (y, x, 2)."""
        if not self.crs.is_geographic:
            return False
        steps = [np.abs(np.diff(nodes[..., 0], axis=axis)) for axis in (0, 1)]
        return max(float(step.max()) for step in steps) > JUMP_DEGREES


def _cut(found: Geometries, kind: int) -> Geometries:
    """Cut geometries at the antimeridian where longitude jumps.

    Their boxes reach round the Earth: readers that filter by them find them on both sides.
    """
    jumping = np.flatnonzero(found.bounds[:, 2] - found.bounds[:, 0] > HALF_TURN)
    if not len(jumping):
        return found
    rows, bounds = found.wkb.to_pylist(), found.bounds.copy()
    for row in jumping:
        parts = shapely.get_parts(mended(shapely.from_wkb(rows[row])))
        # A shape that only touches the antimeridian leaves a point or line on its other side.
        parts = parts[shapely.get_dimensions(parts) == (1 if kind == LINESTRING else 2)]
        several = shapely.MultiLineString if kind == LINESTRING else shapely.MultiPolygon
        whole = parts[0] if len(parts) == 1 and kind != MULTIPOLYGON else several(list(parts))
        rows[row] = shapely.to_wkb(shapely.orient_polygons(whole), byte_order=1)
        bounds[row] = whole.bounds
    return Geometries(pa.array(rows, pa.binary()), bounds)


_AROUND = np.array([-1.5, -0.5, 0.5, 1.5])
"""Where four nodes lie round the middle of a cell, in SPACING."""

_MIDDLE = np.array([-1, 9, 9, -1]) / 16
"""Weights of four nodes half-way between the inner two."""


@kernel
def _scaled(
    lattice: NDArray[np.int32], unit: float, origin: NDArray[np.float64], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return x, y of points in the raster's own CRS; `size` is that of a pixel in y and x."""
    out = np.empty((lattice.shape[0], 2))
    for item in range(lattice.shape[0]):
        out[item, 0] = (lattice[item, 1] * unit + origin[1]) * size[1]
        out[item, 1] = (lattice[item, 0] * unit + origin[0]) * size[0]
    return out


@kernel
def _interpolate(
    lattice: NDArray[np.int32],
    unit: float,
    shift: NDArray[np.float64],
    nodes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return x, y between nodes; `shift` brings the lattice to the first node."""
    out = np.empty((lattice.shape[0], 2))
    flat = nodes.reshape(-1)
    width, one, two = np.uint64(nodes.shape[1]), np.uint64(1), np.uint64(2)
    for item in range(lattice.shape[0]):
        y = (lattice[item, 0] * unit + shift[0]) / SPACING
        x = (lattice[item, 1] * unit + shift[1]) / SPACING
        row, column = np.uint64(y), np.uint64(x)  # never negative: the first node lies before
        v0, v1, v2, v3 = _weights(y - row)
        u0, u1, u2, u3 = _weights(x - column)
        place = ((row - one) * width + column - one) * two
        east, north = 0.0, 0.0
        for weight in (v0, v1, v2, v3):
            east += weight * (
                u0 * flat[place]
                + u1 * flat[place + np.uint64(2)]
                + u2 * flat[place + np.uint64(4)]
                + u3 * flat[place + np.uint64(6)]
            )
            north += weight * (
                u0 * flat[place + one]
                + u1 * flat[place + np.uint64(3)]
                + u2 * flat[place + np.uint64(5)]
                + u3 * flat[place + np.uint64(7)]
            )
            place += two * width
        out[item, 0], out[item, 1] = east, north
    return out


@kernel
def _weights(t: float) -> tuple[float, float, float, float]:
    """Return the cubic Lagrange weights of nodes at -1, 0, 1, 2 for a point at t."""
    return (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
