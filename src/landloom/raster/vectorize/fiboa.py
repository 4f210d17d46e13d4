"""Columns of the field boundary specification, fiboa 0.2.0 (https://github.com/fiboa/specification).

Areas are hectares and perimeters metres, of the geometry as it is written.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landloom.raster.vectorize.areas import perimeters, shape_areas
from landloom.raster.vectorize.shapes import Shapes

VERSION = "0.2.0"

METHOD = "auto-imagery"
"""The boundary was found in imagery by a program."""

SQUARE_METRES_PER_HECTARE = 10_000

COLUMNS = (
    ("id", pa.string()),
    ("area", pa.float64()),
    ("perimeter", pa.float64()),
    ("determination_method", pa.string()),
    ("determination_datetime", pa.timestamp("us", tz="UTC")),
)

METADATA = {b"fiboa": json.dumps({"fiboa_version": VERSION, "fiboa_extensions": []}).encode()}
"""What a Parquet file says of the collection."""


def columns(
    shapes: Shapes,
    first: NDArray[np.integer[Any]],
    degrees: NDArray[np.float64],
    label: str,
    time: np.datetime64,
) -> dict[str, pa.Array]:
    """Return the columns of some rows.

    Args:
        shapes: As they are written.
        first: (rows, 2): lattice index (y, x) of each shape's first corner, which names it.
        degrees: (corners, 2): longitude, latitude.
        label: Of all rows.
        time: Of all rows: the start of the imagery's window, all that a prediction says of it.
    """
    day = np.datetime_as_string(time.astype("datetime64[D]"))
    names = [f"{label}-{day}-{y}-{x}" for y, x in first.tolist()]
    count = len(shapes)
    return {
        "id": pa.array(names, pa.string()),
        "area": pa.array(shape_areas(shapes, degrees) / SQUARE_METRES_PER_HECTARE),
        "perimeter": pa.array(perimeters(shapes, degrees)),
        "determination_method": pa.repeat(METHOD, count),
        "determination_datetime": pa.array(
            np.full(count, time.astype("datetime64[us]")), pa.timestamp("us", tz="UTC")
        ),
    }
