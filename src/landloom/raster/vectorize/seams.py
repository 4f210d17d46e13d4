"""Merge what seams cut: pieces of one area that lie in several tiles become one shape.

Two border pixels of equal value that face each other across a seam belong to one piece; where the
values differ, the pixel edge between them is boundary. That is all: pieces are joined by
union-find, the boundary along the seam is made from the two border lines, and the chains of the
pieces that are complete are linked to rings. Nothing is clipped, buffered or snapped.

Only pieces that may still grow are kept, and of their boundaries only the ends, the corners being
in a file. So memory follows the seams in work: some 100 bytes for each place where a seam crosses a
boundary and for each hole of an area that a seam cuts, even if one area is as large as the raster.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landloom.raster.grid import Tile
from landloom.raster.vectorize.chains import NO_LINES, CornerFile, Lines, joined
from landloom.raster.vectorize.label import roots, unite_pairs
from landloom.raster.vectorize.link import joined_rings, link_order
from landloom.raster.vectorize.shapes import Shapes, assemble
from landloom.raster.vectorize.statistics import Statistics
from landloom.raster.vectorize.tile import NOTHING, Border, OpenPieces
from landloom.raster.vectorize.trace import Rings, concatenated_rings

SMALLEST_DRAIN = 2_000
"""Pieces below which looking for complete shapes is not worth it."""

type SeamKey = tuple[str, int, int]
"""`horizontal` or `vertical`, and the tile (iy, ix) to the north or west of the seam."""


@dataclass(slots=True)
class SeamMerger:
    """Takes the open pieces of tiles in any order, gives whole shapes.

    Each tile of the grid must be added exactly once.
    """

    connectivity: int = 4
    _part: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Union-find over pieces: 4-connected across seams."""
    _shape: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Union-find over pieces: connected as asked for."""
    _statistics: Statistics | None = None
    _corners_on_disk: CornerFile = field(default_factory=CornerFile)
    _chains: list[Lines] = field(default_factory=list)
    _rings: list[Lines] = field(default_factory=list)
    """Whole boundaries of pieces that may still grow: holes, mostly."""
    _lines: dict[SeamKey, Border] = field(default_factory=dict)
    """Borders whose other side has not come yet."""
    _corners: dict[tuple[int, int], dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Under 8-connectivity: (value, piece) of the pixels round a corner of four tiles."""
    _retained: int = 0

    def add(self, tile: Tile, pieces: OpenPieces) -> None:
        """Take the open pieces of a tile and join them to those of its neighbours."""
        offset = len(self._part)
        count = len(pieces.group)
        self._part = np.concatenate([self._part, np.arange(offset, offset + count)])
        self._shape = np.concatenate([self._shape, pieces.group + offset])
        if pieces.statistics is not None:
            known = self._statistics
            joined = pieces.statistics if known is None else known.joined(pieces.statistics)
            self._statistics = joined
        self._rings.append(self._written(pieces.rings, offset))
        self._chains.append(self._written(pieces.chains, offset))
        for side, border in pieces.borders.items():
            shifted = np.where(border.pieces == NOTHING, NOTHING, border.pieces + offset)
            self._meet(tile, side, Border(border.values, shifted))
        if self.connectivity != 4:  # noqa: PLR2004
            self._meet_at_corners(tile, pieces, offset)

    def due(self) -> bool:
        """Whether enough has come since the last `drain` to make another worth its while."""
        return len(self._part) > max(SMALLEST_DRAIN, 2 * self._retained)

    def drain(self) -> Shapes:
        """Return the shapes that no further tile can touch, and forget them."""
        part, shape = roots(self._part), roots(self._shape)
        grows = np.zeros(len(part), bool)
        grows[shape[self._pending_pieces()]] = True
        grows = grows[shape]
        self._chains, self._rings = (
            [joined([NO_LINES, *self._chains])],
            [joined([NO_LINES, *self._rings])],
        )
        finished = self._finished(part, shape, ~grows)
        self._forget(part, shape, grows)
        return finished

    def _written(self, rings: Rings, offset: int) -> Lines:
        lines = self._corners_on_disk.append(rings)
        return lines.owned_by(lines.owner + offset)

    def _meet(self, tile: Tile, side: str, border: Border) -> None:
        """Join a border with the one it faces, or keep it until that comes."""
        horizontal = side in {"north", "south"}
        behind = (side == "north", side == "west")
        key = (
            "horizontal" if horizontal else "vertical",
            tile.iy - behind[0],
            tile.ix - behind[1],
        )
        other = self._lines.pop(key, None)
        if other is None:
            self._lines[key] = border
            return
        before, after = (other, border) if any(behind) else (border, other)
        window = tile.window
        if horizontal:
            line, start = (window.y0 if behind[0] else window.y1), window.x0
        else:
            line, start = (window.x0 if behind[1] else window.x1), window.y0
        self._join(before, after)
        equal = before.values == after.values
        for border_, forward in ((before, horizontal), (after, not horizontal)):
            # The interior is on the left: along a horizontal seam the northern tile's boundary
            # runs east, along a vertical one the western tile's runs north.
            along, owner = _runs(np.where(equal, NOTHING, border_.pieces))
            begin, end = (along[:, 0], along[:, 1]) if forward else (along[:, 1], along[:, 0])
            fixed = np.full(len(along), line)
            columns = (
                (fixed, begin + start, fixed, end + start)
                if horizontal
                else (begin + start, fixed, end + start, fixed)
            )
            corners = np.stack(columns, axis=1).astype(np.int32).reshape(-1, 2)
            run = Rings(corners, np.arange(0, len(corners) + 1, 2), owner)
            self._chains.append(self._written(run, 0))

    def _join(self, before: Border, after: Border) -> None:
        shifts = [(slice(None), slice(None))]
        _unite_equal(self._part, before, after, *shifts[0])
        if self.connectivity != 4:  # noqa: PLR2004
            shifts += [(slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))]
        for first, second in shifts:
            _unite_equal(self._shape, before, after, first, second)

    def _meet_at_corners(self, tile: Tile, pieces: OpenPieces, offset: int) -> None:
        """Join areas that touch only where four tiles meet."""
        for rows, columns, facing, dy, dx in (
            ("north", "west", "south east", -1, -1),
            ("north", "east", "south west", -1, 0),
            ("south", "west", "north east", 0, -1),
            ("south", "east", "north west", 0, 0),
        ):
            if rows not in pieces.borders or columns not in pieces.borders:
                continue
            border = pieces.borders[rows]
            end = 0 if columns == "west" else -1
            number = int(border.pieces[end])
            here = int(border.values[end]), number + offset if number != NOTHING else NOTHING
            key = tile.iy + dy, tile.ix + dx
            corner = self._corners.setdefault(key, {})
            corner[f"{rows} {columns}"] = here
            value, piece = corner.get(facing, (0, NOTHING))
            if value and value == here[0]:
                unite_pairs(self._shape, np.array([piece]), np.array([here[1]]))
            if len(corner) == 4:  # noqa: PLR2004 - tiles at a corner
                del self._corners[key]

    def _pending_pieces(self) -> NDArray[np.int64]:
        """Return the pieces at a border or corner whose other side has not come."""
        lines = [border.pieces for border in self._lines.values()]
        corners = [piece for corner in self._corners.values() for _, piece in corner.values()]
        found = np.concatenate([np.array(corners, np.int64), *lines])
        real: NDArray[np.int64] = found[found != NOTHING]
        return real

    def _finished(
        self, part: NDArray[np.int64], shape: NDArray[np.int64], done: NDArray[np.bool_]
    ) -> Shapes:
        parts, part_number = np.unique(part[done], return_inverse=True)
        _, shape_of_part = np.unique(shape[parts], return_inverse=True)
        number = np.zeros(len(part), np.int64)
        number[done] = part_number
        chains = _chosen(self._chains[0], done, number)
        order, ring_starts = link_order(chains)
        chains = chains.taken(order)
        linked = joined_rings(self._corners_on_disk.read(chains), chains.headings, ring_starts)
        whole = self._corners_on_disk.read(_chosen(self._rings[0], done, number))
        statistics = None
        if self._statistics is not None:
            of_shape, shape_number = np.unique(shape[done], return_inverse=True)
            statistics = self._statistics.taken(done).merged(shape_number, len(of_shape))
        return assemble(concatenated_rings(linked, whole), shape_of_part, statistics)

    def _forget(
        self, part: NDArray[np.int64], shape: NDArray[np.int64], grows: NDArray[np.bool_]
    ) -> None:
        """Keep what may grow, each part as one piece under a new number."""
        kept, number_of_kept = np.unique(part[grows], return_inverse=True)
        number = np.full(len(part) + 1, NOTHING)  # the last entry renumbers NOTHING itself
        number[:-1][grows] = number_of_kept
        self._chains = [_chosen(self._chains[0], grows, number)]
        self._rings = [_chosen(self._rings[0], grows, number)]
        self._part = np.arange(len(kept))
        self._shape = number[shape[kept]]
        if self._statistics is not None:
            self._statistics = self._statistics.taken(grows).merged(number_of_kept, len(kept))
        self._lines = {
            key: Border(border.values, number[border.pieces]) for key, border in self._lines.items()
        }
        self._corners = {
            key: {place: (value, int(number[piece])) for place, (value, piece) in corner.items()}
            for key, corner in self._corners.items()
        }
        self._retained = len(kept)


def _chosen(lines: Lines, of: NDArray[np.bool_], number: NDArray[np.int64]) -> Lines:
    """Return the lines of some pieces, under their pieces' new numbers."""
    taken = lines.taken(of[lines.owner])
    return taken.owned_by(number[taken.owner])


def _unite_equal(
    parent: NDArray[np.int64], before: Border, after: Border, first: slice, second: slice
) -> None:
    same = (before.values[first] == after.values[second]) & (before.values[first] != 0)
    unite_pairs(parent, before.pieces[first][same], after.pieces[second][same])


def _runs(pieces: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (runs, 2) begin and end of each run of one piece, and the pieces."""
    changes = np.flatnonzero(np.diff(pieces, prepend=NOTHING - 1, append=NOTHING - 1))
    begin, end = changes[:-1], changes[1:]
    real = pieces[begin] != NOTHING
    return np.stack([begin[real], end[real]], axis=1), pieces[begin[real]]
