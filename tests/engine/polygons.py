"""Lattice shapes as shapely geometries, and what rasterio makes of the untiled raster."""

from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from landloom.raster.vectorize.shapes import Shapes


def geometries(shapes: Shapes, connectivity: int = 4) -> list[BaseGeometry]:
    """Return every shape as a polygon in pixels (multipolygon under 8-connectivity)."""
    xy = shapes.vertices[:, ::-1].astype(float)
    rings = [
        xy[start:end]
        for start, end in zip(shapes.ring_starts[:-1], shapes.ring_starts[1:], strict=True)
    ]
    parts = [
        shapely.Polygon(rings[start], rings[start + 1 : end])
        for start, end in zip(shapes.part_starts[:-1], shapes.part_starts[1:], strict=True)
    ]
    if connectivity == 4:
        return list(parts)
    return [
        shapely.MultiPolygon(parts[start:end])
        for start, end in zip(shapes.shape_starts[:-1], shapes.shape_starts[1:], strict=True)
    ]


def rasterio_shapes(values: NDArray[np.uint8], connectivity: int = 4) -> list[BaseGeometry]:
    """Return rasterio's polygons of all values but 0.

    Under 8-connectivity rasterio's rings cross themselves at corners; made valid, as multipolygons.
    """
    found = rasterio.features.shapes(values, mask=values > 0, connectivity=connectivity)
    polygons = [shapely.geometry.shape(geometry) for geometry, _ in found]
    if connectivity == 4:
        return polygons
    valid = [shapely.make_valid(polygon) for polygon in polygons]
    return [shapely.MultiPolygon([one]) if one.geom_type == "Polygon" else one for one in valid]


def fingerprints(shapes: list[BaseGeometry]) -> list[bytes]:
    """Return the normalized well-known binary of each geometry, sorted: equal for equal sets."""
    return sorted(shapely.to_wkb(shapely.normalize(shape)) for shape in shapes)
