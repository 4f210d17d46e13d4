"""Finished shapes on their way to the file: kept on disk, handed out sorted, cell by cell.

Shapes come in the order in which tiles finish and must leave in one order that depends on the
shapes alone. So they are dealt into cells of the raster's Hilbert curve, which know nothing of
tiles, written to a temporary file, and sorted one cell at a time when all are there.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landloom.raster.vectorize.hilbert import cell_of, curve_order, hilbert_index
from landloom.raster.vectorize.shapes import Shapes

COORDINATE = pa.list_(pa.int32(), 2)
"""y, x of the lattice."""

LATTICE_SHAPE = pa.list_(pa.list_(pa.list_(COORDINATE)))
"""A shape: parts of rings of vertices."""

SORT_KEYS = [("place", "ascending"), ("y", "ascending"), ("x", "ascending")]
"""Along the curve; shapes at one place by their first pixel, which no two shapes share."""

PART_ROWS = 500_000
"""Cells are gathered into one part until it has this many rows."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One band at one time."""

    time_index: int
    feature_index: int


@dataclass(frozen=True, slots=True)
class Record:
    """Where some shapes of one cell and layer lie in the temporary file."""

    offset: int
    size: int
    rows: int


@dataclass(slots=True)
class Spill:
    """A temporary file of shapes. Use it in a `with`; reading is safe from several threads."""

    shape_yx: tuple[int, int]
    further_keys: tuple[str, ...] = ()
    """Further columns to sort by, where several shapes may have one place and first pixel."""
    _file: Any = field(default_factory=tempfile.TemporaryFile)
    _end: int = 0
    _records: dict[int, dict[Layer, list[Record]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """Shapes so far."""
        return sum(self._cell_rows(cell) for cell in self._records)

    def add(
        self, layer: Layer, shapes: Shapes, further: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Take finished shapes, and further columns of one value a shape."""
        if not len(shapes):
            return
        table = _lattice_table(shapes, self.shape_yx, further or {})
        cells = cell_of(table["place"].to_numpy())
        order = np.argsort(cells, kind="stable")
        for chunk in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
            self._append(int(cells[chunk[0]]), layer, table.take(chunk))

    def parts(self) -> list[list[int]]:
        """Return the cells of each part file: runs along the curve of about PART_ROWS rows."""
        parts: list[list[int]] = []
        rows = 0
        for cell in sorted(self._records):
            more = self._cell_rows(cell)
            if not parts or rows + more > PART_ROWS:
                parts.append([])
                rows = 0
            parts[-1].append(cell)
            rows += more
        return parts

    def layers(self, cells: list[int]) -> list[Layer]:
        """Return the layers that have shapes in some cells, by time and then by feature."""
        found = {layer for cell in cells for layer in self._records[cell]}
        return sorted(found, key=lambda layer: (layer.time_index, layer.feature_index))

    def read(self, cells: list[int], layer: Layer) -> pa.Table:
        """Return the shapes of some cells and one layer, sorted along the curve."""
        records = [one for cell in cells for one in self._records[cell].get(layer, [])]
        buffers = [os.pread(self._file.fileno(), one.size, one.offset) for one in records]
        tables = [pa.ipc.open_stream(buffer).read_all() for buffer in buffers]
        return (
            pa.concat_tables(tables)
            .combine_chunks()
            .sort_by([*SORT_KEYS, *((name, "ascending") for name in self.further_keys)])
        )

    def _cell_rows(self, cell: int) -> int:
        return sum(one.rows for records in self._records[cell].values() for one in records)

    def _append(self, cell: int, layer: Layer, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        self._file.write(data)
        self._file.flush()
        self._records[cell][layer].append(Record(self._end, data.size, table.num_rows))
        self._end += data.size


def _lattice_table(
    shapes: Shapes, shape_yx: tuple[int, int], further: Mapping[str, NDArray[Any]]
) -> pa.Table:
    bounds = shapes.bounds().astype(np.int64)
    centre_y = np.minimum((bounds[:, 0] + bounds[:, 2]) // 2, shape_yx[0] - 1)
    centre_x = np.minimum((bounds[:, 1] + bounds[:, 3]) // 2, shape_yx[1] - 1)
    first = shapes.first_vertices()
    vertices = pa.FixedSizeListArray.from_arrays(pa.array(shapes.vertices.ravel()), type=COORDINATE)
    nested: Any = vertices
    for starts in (shapes.ring_starts, shapes.part_starts, shapes.shape_starts):
        nested = pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), nested)
    columns: dict[str, Any] = {
        "place": hilbert_index(centre_y, centre_x, curve_order(shape_yx)),
        "y": first[:, 0],
        "x": first[:, 1],
        "parts": nested.cast(LATTICE_SHAPE),
        **further,
    }
    found = shapes.statistics
    if found is not None:
        columns |= {
            "score_mean": found.mean(),
            "score_min": found.lowest,
            "score_max": found.highest,
            "score_std": found.deviation(),
            "score_count": found.count,
        }
    return pa.table(columns)
