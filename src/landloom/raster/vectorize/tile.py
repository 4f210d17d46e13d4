"""Polygonize one tile: what lies within it is finished, what a seam cuts stays open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.vectorize.chains import cut_open_rings
from landloom.raster.vectorize.label import group_diagonals, label_components
from landloom.raster.vectorize.shapes import Shapes, assemble
from landloom.raster.vectorize.statistics import Statistics, measure
from landloom.raster.vectorize.trace import Rings, trace_rings

NOTHING = -1
"""Piece number of a border pixel that belongs to none."""


@dataclass(frozen=True, slots=True)
class Seams:
    """Which sides of a tile have a neighbour; the others are the edge of the raster."""

    north: bool = False
    south: bool = False
    west: bool = False
    east: bool = False


@dataclass(frozen=True, slots=True)
class Border:
    """The pixels along one side of a tile, from west to east or from north to south."""

    values: NDArray[np.integer[Any]]
    pieces: NDArray[np.int64]
    """The open piece each pixel belongs to, or NOTHING."""


@dataclass(frozen=True, slots=True)
class OpenPieces:
    """4-connected areas of a tile that a seam cuts, and their boundaries but for the seams.

    Lines are in raster pixels and owned by pieces, which are numbered from 0.
    """

    rings: Rings
    """Boundaries that reach no seam."""
    chains: Rings
    """What is left of the others without their edges on seams."""
    group: NDArray[np.int64]
    """(pieces,): the first piece of each piece's connected group."""
    borders: dict[str, Border]
    """By side, for the sides that are seams."""
    statistics: Statistics | None


@dataclass(frozen=True, slots=True)
class TilePolygons:
    """What one tile gives."""

    closed: Shapes
    """Whole shapes, in raster pixels, in the order of their first pixel."""
    open: OpenPieces


def polygonize_tile(
    values: NDArray[np.integer[Any]],
    scores: NDArray[np.float32] | None = None,
    *,
    origin_yx: tuple[int, int] = (0, 0),
    seams: Seams = Seams(),
    connectivity: int = 4,
) -> TilePolygons:
    """Find the areas of equal value in a tile.

    Args:
        values: (y, x), C-contiguous; 0 is background.
        scores: (y, x) to take statistics of, finite wherever there is a value; None takes none.
        origin_yx: The tile's first pixel in the raster.
        seams: The sides where the raster goes on.
        connectivity: 4, or 8 to join areas that touch at corners.
    """
    labels, count = label_components(values)
    group = np.arange(count + 1) if connectivity == 4 else group_diagonals(labels, values, count)  # noqa: PLR2004
    is_open = _cut_by_seams(labels, seams, group)
    statistics = None if scores is None else measure(labels, scores, count)
    rings = trace_rings(labels)
    ring_is_open = is_open[rings.owner]
    whole = rings.taken(np.flatnonzero(~ring_is_open))
    whole.vertices[:] += np.asarray(origin_yx, np.int32)
    return TilePolygons(
        assemble(whole, group, _of_groups(statistics, group, ~is_open)),
        _open_pieces(
            values,
            labels,
            rings.taken(np.flatnonzero(ring_is_open)),
            is_open,
            group,
            origin_yx,
            seams,
            statistics,
        ),
    )


def _cut_by_seams(
    labels: NDArray[np.int32], seams: Seams, group: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return (labels,): whether each label's group reaches a seam."""
    touched = np.zeros(len(group), bool)
    for line in _border_lines(labels[1:-1, 1:-1], seams).values():
        touched[group[line]] = True
    touched[0] = False
    return touched[group]


def _border_lines[T: np.generic](pixels: NDArray[T], seams: Seams) -> dict[str, NDArray[T]]:
    lines = {
        "north": pixels[0] if seams.north else None,
        "south": pixels[-1] if seams.south else None,
        "west": pixels[:, 0] if seams.west else None,
        "east": pixels[:, -1] if seams.east else None,
    }
    return {side: line.copy() for side, line in lines.items() if line is not None}


def _of_groups(
    statistics: Statistics | None, group: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> Statistics | None:
    """Return the statistics of the chosen labels' groups, in the order of the groups."""
    if statistics is None:
        return None
    labels = np.flatnonzero(chosen[1:]) + 1
    numbers, compact = np.unique(group[labels], return_inverse=True)
    return statistics.taken(labels - 1).merged(compact, len(numbers))


def _open_pieces(
    values: NDArray[np.integer[Any]],
    labels: NDArray[np.int32],
    rings: Rings,
    is_open: NDArray[np.bool_],
    group: NDArray[np.int64],
    origin_yx: tuple[int, int],
    seams: Seams,
    statistics: Statistics | None,
) -> OpenPieces:
    """Number the open labels from 0 and take their boundaries apart."""
    piece = np.where(is_open, np.cumsum(is_open) - 1, NOTHING)
    owned = Rings(rings.vertices, rings.starts, piece[rings.owner])
    whole, chains = cut_open_rings(owned, _seam_lines(values.shape, seams), labels, values)
    for lines in (whole, chains):
        lines.vertices[:] += np.asarray(origin_yx, np.int32)
    value_lines = _border_lines(values, seams)
    label_lines = _border_lines(labels[1:-1, 1:-1], seams)
    return OpenPieces(
        whole,
        chains,
        piece[group[is_open]],
        {side: Border(value_lines[side], piece[label_lines[side]]) for side in value_lines},
        None if statistics is None else statistics.taken(is_open[1:]),
    )


def _seam_lines(shape_yx: tuple[int, ...], seams: Seams) -> NDArray[np.int64]:
    """Return y, y, x, x of the seams, -1 where there is none."""
    height, width = shape_yx
    return np.array(
        [
            0 if seams.north else -1,
            height if seams.south else -1,
            0 if seams.west else -1,
            width if seams.east else -1,
        ]
    )
