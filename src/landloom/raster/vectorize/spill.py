"""Finished shapes on their way to the file: kept on disk, handed out sorted, stretch by stretch.

Shapes come in the order in which tiles finish and must leave in one order that depends on the
shapes alone. So they are dealt into cells of the raster's Hilbert curve, which know nothing of
tiles, written to a temporary file, and sorted a few cells at a time when all are there.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landloom.raster.vectorize.batch import Batch, joined_batches
from landloom.raster.vectorize.hilbert import cell_of, curve_order, hilbert_index
from landloom.raster.vectorize.shapes import Shapes, starts_of

STRETCH_ROWS = 8_192
"""Cells are handed out together until they have this many rows, or STRETCH_CORNERS corners."""

STRETCH_CORNERS = 1_000_000

SMALLEST_PART_ROWS, LARGEST_PART_ROWS, USUAL_PARTS = 32_768, 524_288, 64
"""A part file has a USUAL_PARTS-th of all rows, within these bounds."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One band at one time."""

    time_index: int
    feature_index: int


@dataclass(frozen=True, slots=True)
class Record:
    """Where some shapes of one cell and layer lie in the temporary file."""

    offset: int
    sizes: tuple[int, int, int, int]
    """How many shapes, parts, rings and corners."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The shapes of a layer in neighbouring cells; read when they are needed.

    Sent to another process it is the shapes themselves.
    """

    layer: Layer
    source: Spill | Batch
    records: tuple[Record, ...] = ()
    shaping: Callable[[Layer, Batch], Batch] | None = None
    """What is done to the shapes once they are read."""

    def read(self) -> Batch:
        """Return the shapes, sorted along the curve."""
        if isinstance(self.source, Batch):
            return self.source
        batch = self.source.read(self.records)
        return batch if self.shaping is None else self.shaping(self.layer, batch)

    def __reduce__(self) -> tuple[type[Stretch], tuple[Layer, Batch]]:
        return Stretch, (self.layer, self.read())


@dataclass(slots=True)
class Spill:
    """A temporary file of shapes. Use it in a `with`; reading is safe from several threads."""

    shape_yx: tuple[int, int]
    further_keys: tuple[str, ...] = ()
    """Further columns to sort by, where several shapes may have one place and first pixel."""
    rows: int = 0
    """Shapes so far."""
    _file: Any = field(default_factory=tempfile.TemporaryFile)
    _end: int = 0
    _dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
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

    def add(
        self, layer: Layer, shapes: Shapes, further: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Take finished shapes, and further columns of one value a shape."""
        if not len(shapes):
            return
        columns = dict(further or {})
        if shapes.statistics is not None:
            columns |= shapes.statistics.columns()
        batch = Batch(shapes, self._places(shapes), columns)
        order = batch.order(self.further_keys)
        cells = cell_of(batch.places[order])  # in runs, as places along the curve are
        edges = np.flatnonzero(np.diff(cells)) + 1
        for chunk, cell in zip(np.split(order, edges), cells[np.append(0, edges)], strict=True):
            self._append(int(cell), layer, batch.taken(chunk))

    def parts(self) -> list[list[Stretch]]:
        """Return what goes into each part file: stretches along the curve."""
        wanted = min(max(self.rows // USUAL_PARTS, SMALLEST_PART_ROWS), LARGEST_PART_ROWS)
        parts: list[list[Stretch]] = []
        rows = 0
        for cells in self._neighbours():
            more = sum(self._size(cell)[0] for cell in cells)
            if not parts or rows + more > wanted:
                parts.append([])
                rows = 0
            parts[-1] += self._stretches(cells)
            rows += more
        return parts

    def stretches(self) -> list[Stretch]:
        """Return all that was added."""
        return [stretch for part in self.parts() for stretch in part]

    def read(self, records: Sequence[Record]) -> Batch:
        """Return what lies in some records, sorted along the curve."""
        batch = joined_batches([self._read_one(record) for record in records])
        if len(records) == 1:
            return batch  # it was sorted before it was written
        return batch.taken(batch.order(self.further_keys))

    def _neighbours(self) -> list[list[int]]:
        """Return cells in the order of the curve, those together that are read together."""
        groups: list[list[int]] = []
        rows = corners = 0
        for cell in sorted(self._records):
            size = self._size(cell)
            rows, corners = rows + size[0], corners + size[3]
            if not groups or rows > STRETCH_ROWS or corners > STRETCH_CORNERS:
                groups.append([])
                rows, corners = size[0], size[3]
            groups[-1].append(cell)
        return groups

    def _stretches(self, cells: list[int]) -> list[Stretch]:
        """Return what some cells hold, by time and then by feature."""
        found: dict[Layer, list[Record]] = defaultdict(list)
        for cell in cells:
            for layer, records in self._records[cell].items():
                found[layer] += records
        layers = sorted(found, key=lambda layer: (layer.time_index, layer.feature_index))
        return [Stretch(layer, self, tuple(found[layer])) for layer in layers]

    def _size(self, cell: int) -> NDArray[np.int64]:
        sizes = [one.sizes for records in self._records[cell].values() for one in records]
        return np.sum(sizes, axis=0)

    def _places(self, shapes: Shapes) -> NDArray[np.uint64]:
        bounds = shapes.bounds().astype(np.int64)
        centre_y = np.minimum((bounds[:, 0] + bounds[:, 2]) // 2, self.shape_yx[0] - 1)
        centre_x = np.minimum((bounds[:, 1] + bounds[:, 3]) // 2, self.shape_yx[1] - 1)
        return hilbert_index(centre_y, centre_x, curve_order(self.shape_yx))

    def _append(self, cell: int, layer: Layer, batch: Batch) -> None:
        shapes = batch.shapes
        self._dtypes = {name: column.dtype for name, column in batch.columns.items()}
        arrays = [
            batch.places,
            np.diff(shapes.shape_starts),
            np.diff(shapes.part_starts),
            np.diff(shapes.ring_starts),
            shapes.vertices,
            *batch.columns.values(),
        ]
        sizes = (
            len(shapes),
            len(shapes.part_starts) - 1,
            len(shapes.ring_starts) - 1,
            len(shapes.vertices),
        )
        self._records[cell][layer].append(Record(self._end, sizes))
        self.rows += len(shapes)
        for array in arrays:
            self._end += self._file.write(np.ascontiguousarray(array).view(np.uint8).data)
        self._file.flush()

    def _read_one(self, record: Record) -> Batch:
        at = record.offset

        def taken(count: int, dtype: Any) -> NDArray[Any]:
            nonlocal at
            size = count * np.dtype(dtype).itemsize
            data = os.pread(self._file.fileno(), size, at)
            at += size
            return np.frombuffer(data, dtype)

        shapes, parts, rings, corners = record.sizes
        places = taken(shapes, np.uint64)
        of_shapes, of_parts = taken(shapes, np.int64), taken(parts, np.int64)
        of_rings = taken(rings, np.int64)
        vertices = taken(2 * corners, np.int32).reshape(-1, 2)
        columns = {name: taken(shapes, dtype) for name, dtype in self._dtypes.items()}
        found = Shapes(vertices, starts_of(of_rings), starts_of(of_parts), starts_of(of_shapes))
        return Batch(found, places, columns)
