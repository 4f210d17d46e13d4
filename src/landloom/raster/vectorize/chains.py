"""Chains: boundary lines that end where a tile ended, and the file that holds their corners.

Only the ends of a chain are needed to know what follows it. So an area as large as the raster costs
memory for the places where seams cross its boundary; its corners wait on disk.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landloom.raster.kernel import kernel
from landloom.raster.vectorize.trace import EAST, NORTH, SOUTH, WEST, Rings, take_rings


@dataclass(frozen=True, slots=True)
class Lines:
    """Boundary lines whose corners lie in a `CornerFile`; all arrays are (lines,)-long."""

    owner: NDArray[np.int64]
    """The piece that each bounds."""
    ends: NDArray[np.int32]
    """(n, 4): y, x of the first corner and y, x of the last; a closed ring has no last one."""
    headings: NDArray[np.uint8]
    """(n, 2): the way its first and its last edge goes, as in `trace`."""
    offset: NDArray[np.int64]
    """Where its corners start in the file."""
    count: NDArray[np.int64]
    """How many there are."""

    def taken(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Lines:
        """Return some of the lines."""
        return Lines(
            self.owner[chosen],
            self.ends[chosen],
            self.headings[chosen],
            self.offset[chosen],
            self.count[chosen],
        )

    def owned_by(self, owner: NDArray[np.int64]) -> Lines:
        """Return the lines under other owners."""
        return Lines(owner, self.ends, self.headings, self.offset, self.count)


NO_LINES = Lines(
    np.empty(0, np.int64),
    np.empty((0, 4), np.int32),
    np.empty((0, 2), np.uint8),
    np.empty(0, np.int64),
    np.empty(0, np.int64),
)


def joined(pieces: list[Lines]) -> Lines:
    """Return all lines of `pieces`."""
    return Lines(
        np.concatenate([piece.owner for piece in pieces]),
        np.concatenate([piece.ends for piece in pieces]),
        np.concatenate([piece.headings for piece in pieces]),
        np.concatenate([piece.offset for piece in pieces]),
        np.concatenate([piece.count for piece in pieces]),
    )


@dataclass(slots=True)
class CornerFile:
    """Corners of lines, in a temporary file that goes when nobody uses it."""

    corners: int = 0
    """How many it holds."""
    _file: Any = field(default_factory=tempfile.TemporaryFile)

    def append(self, rings: Rings) -> Lines:
        """Write the corners of rings or chains, and return what is to be known of them."""
        begins, ends = rings.starts[:-1], rings.starts[1:]
        offset = self.corners + begins
        rings.vertices.tofile(self._file)
        self._file.flush()
        self.corners += len(rings.vertices)
        first, last = rings.vertices[begins], rings.vertices[ends - 1]
        headings = np.stack(
            [
                headings_of(first, rings.vertices[begins + 1]),
                headings_of(rings.vertices[ends - 2], last),
            ],
            axis=1,
        )
        return Lines(rings.owner, np.hstack([first, last]), headings, offset, ends - begins)

    def read(self, lines: Lines) -> Rings:
        """Return the corners of lines, in their order."""
        if not len(lines.owner):
            return Rings(np.empty((0, 2), np.int32), np.zeros(1, np.int64), lines.owner)
        order = np.argsort(lines.offset, kind="stable")
        starts = np.empty(2 * len(order) + 1, np.int64)  # each line, and the gap before the next
        starts[:-1:2] = lines.offset[order]
        starts[1::2] = starts[:-1:2] + lines.count[order]
        starts[-1] = starts[-2]
        place = np.empty(len(order), np.int64)
        place[order] = 2 * np.arange(len(order))
        whole = np.memmap(self._file, np.int32, "r", shape=(self.corners, 2))
        vertices, begins = take_rings(whole, starts, place)
        return Rings(vertices, begins, lines.owner)


def headings_of(begin: NDArray[np.int32], end: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return which way edges go."""
    dy, dx = (end - begin).T
    return np.where(dy == 0, np.where(dx < 0, WEST, EAST), np.where(dy > 0, SOUTH, NORTH)).astype(
        np.uint8
    )


def cut_open_rings(
    rings: Rings,
    seam_lines: NDArray[np.int64],
    labels: NDArray[np.int32],
    values: NDArray[np.integer[Any]],
) -> tuple[Rings, Rings]:
    """Take the edges that lie on seams out of rings, and cut them where they may be linked anew.

    That is at corners where two pixels of equal value and different label meet: if a tile further
    on joins the two areas, the ring has to turn the other way there.

    Args:
        rings: In tile pixels.
        seam_lines: (4,): y of the northern and southern, x of the western and eastern seam; -1
            where there is none.
        labels: Framed labels (y + 2, x + 2), see `label_components`.
        values: (y, x).

    Returns:
        The rings that stay whole, and the chains that are left of the others.
    """
    vertices, starts, owner, whole = _cut(
        rings.vertices, rings.starts, rings.owner, seam_lines, labels, values
    )
    return rings.taken(np.flatnonzero(whole)), Rings(vertices, starts, owner)


@kernel
def _cut(
    vertices: NDArray[np.int32],
    starts: NDArray[np.int64],
    owner: NDArray[np.int64],
    lines: NDArray[np.int64],
    labels: NDArray[np.int32],
    values: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Walk round each ring from the first of its cuts, if it has any."""
    total = vertices.shape[0]
    corners = np.empty((2 * total, 2), np.int32)  # a corner may end one chain and begin another
    chain_starts = np.zeros(total + 1, np.int64)
    chain_owner = np.empty(total, np.int64)
    whole = np.ones(owner.size, np.bool_)
    used, chains = 0, 0
    for ring in range(owner.size):
        begin, end = starts[ring], starts[ring + 1]
        first = begin
        while (
            first < end
            and not _on_seam(vertices, first, begin, end, lines)
            and not _may_turn(vertices, first, labels, values)
        ):
            first += 1
        if first == end:
            continue
        whole[ring] = False
        edge = first
        for _ in range(end - begin):
            to = edge + 1 if edge + 1 < end else begin
            if not _on_seam(vertices, edge, begin, end, lines):
                if used == chain_starts[chains]:
                    corners[used, 0], corners[used, 1] = vertices[edge, 0], vertices[edge, 1]
                    used += 1
                corners[used, 0], corners[used, 1] = vertices[to, 0], vertices[to, 1]
                used += 1
                if to == first or _may_turn(vertices, to, labels, values):
                    chain_owner[chains] = owner[ring]
                    chains += 1
                    chain_starts[chains] = used
            elif used > chain_starts[chains]:
                chain_owner[chains] = owner[ring]
                chains += 1
                chain_starts[chains] = used
            edge = to
    return (
        corners[:used].copy(),
        chain_starts[: chains + 1].copy(),
        chain_owner[:chains].copy(),
        whole,
    )


@kernel
def _on_seam(
    vertices: NDArray[np.int32], edge: int, begin: int, end: int, lines: NDArray[np.int64]
) -> bool:
    """Return whether the edge from corner `edge` of a ring lies on a seam."""
    to = edge + 1 if edge + 1 < end else begin
    y, x = vertices[edge, 0], vertices[edge, 1]
    if vertices[to, 0] == y:
        return bool(y == lines[0] or y == lines[1])
    return bool(x == lines[2] or x == lines[3])


@kernel
def _may_turn(
    vertices: NDArray[np.int32],
    corner: int,
    labels: NDArray[np.int32],
    values: NDArray[np.integer[Any]],
) -> bool:
    """Return whether pixels of equal value and different label meet at a corner of a ring."""
    y, x = vertices[corner, 0], vertices[corner, 1]
    if y == 0 or x == 0 or y == values.shape[0] or x == values.shape[1]:
        return False
    north_west, north_east = labels[y, x], labels[y, x + 1]
    south_west, south_east = labels[y + 1, x], labels[y + 1, x + 1]
    falling = values[y - 1, x - 1] == values[y, x] and values[y, x] != 0
    rising = values[y - 1, x] == values[y, x - 1] and values[y - 1, x] != 0
    if falling and north_west != south_east:
        return bool(north_east - north_west != 0 and south_west - north_west != 0)
    if rising and north_east != south_west:
        return bool(north_west - north_east != 0 and south_east - north_east != 0)
    return False
