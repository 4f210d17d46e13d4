"""Shapes with their places along the curve and further columns: rows on their way to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.vectorize.shapes import Shapes, concatenated


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows."""

    shapes: Shapes
    places: NDArray[np.uint64]
    """(rows,): where each shape's centre lies along the raster's Hilbert curve."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Further columns, (rows,) each."""
    named: NDArray[np.int32] | None = None
    """(rows, 2): the first corner that each shape had before it was simplified."""

    def __len__(self) -> int:
        return len(self.places)

    def order(self, further_keys: Sequence[str] = ()) -> NDArray[np.int64]:
        """Return the order along the curve; shapes at one place go by their first pixel.

        No two shapes of a raster share it; where rows are no such shapes, `further_keys` decide.
        """
        order = np.argsort(self.places)
        places = self.places[order]
        same = places[1:] == places[:-1]
        if not same.any():
            return order
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        rows = order[tied]
        first = self.shapes.first_vertices()[rows]
        least_last = [self.columns[key][rows] for key in reversed(further_keys)]
        order[tied] = rows[np.lexsort((*least_last, first[:, 1], first[:, 0], places[tied]))]
        return order

    def names(self) -> NDArray[np.int32]:
        """Return (rows, 2): y, x of a corner that no other shape of the layer is named by."""
        return self.shapes.first_vertices() if self.named is None else self.named

    def taken(self, order: NDArray[np.int64]) -> Batch:
        """Return the rows in another order, or some of them."""
        return Batch(
            self.shapes.taken(order),
            self.places[order],
            {name: column[order] for name, column in self.columns.items()},
            None if self.named is None else self.named[order],
        )


def joined_batches(batches: Sequence[Batch]) -> Batch:
    """Return all rows of `batches`, of which there is at least one, in fresh memory."""
    return Batch(
        concatenated([batch.shapes for batch in batches]),
        np.concatenate([batch.places for batch in batches]),
        {
            name: np.concatenate([batch.columns[name] for batch in batches])
            for name in batches[0].columns
        },
    )
