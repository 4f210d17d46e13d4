"""What to compute in which order, so that no patch is run twice and memory stays bounded.

Blocks are written shard by shard; a patch that reaches into several blocks is run for the first of
them and kept until the last. The plan depends on the grid alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from landloom.raster.grid import Window
from landloom.raster.predict.lattice import PatchLattice

type PatchKey = tuple[int, int]
"""(ky, kx) in the patch lattice; row-major order is the order of blending."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a shard: what is blended and written at a time."""

    time_slot: int
    """Time step of the output."""
    shard: tuple[int, int]
    window: Window
    """In array pixels."""


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What a block needs."""

    block: Block
    needed: tuple[PatchKey, ...]
    """All patches that have a say in it, row by row."""
    fresh: tuple[PatchKey, ...]
    """Those among them that must be run."""
    spent: tuple[PatchKey, ...]
    """Those that can be forgotten after it."""


@dataclass(frozen=True)
class Planner:
    """Plans the blocks of one time step."""

    lattice: PatchLattice
    origin_yx: tuple[int, int]
    """Lattice index of the array's first pixel."""
    size: int
    """Pixels a side of a block."""
    kept_patches: int
    """How many patches may be kept for later blocks; one beyond them is run again."""
    _order: dict[tuple[int, int], int] = field(default_factory=dict)

    def plans(self, blocks: Sequence[Block]) -> Iterator[BlockPlan]:
        """Yield the plan of each block, in order."""
        self._order.clear()
        for index, block in enumerate(blocks):
            self._order[block.window.y0 // self.size, block.window.x0 // self.size] = index
        kept: dict[PatchKey, int] = {}
        for index, block in enumerate(blocks):
            needed = tuple(self._patches(block.window))
            fresh = tuple(key for key in needed if key not in kept)
            for key in fresh:
                last = self._last_use(key)
                if last > index and len(kept) < self.kept_patches:
                    kept[key] = last
            spent = tuple(key for key in needed if kept.get(key, index) == index)
            for key in spent:
                kept.pop(key, None)
            yield BlockPlan(block, needed, fresh, spent)

    def patch_window(self, key: PatchKey) -> Window:
        """Return the pixels of a patch, in array pixels; it may reach beyond the array."""
        y0 = self.lattice.first_pixel(key[0]) - self.origin_yx[0]
        x0 = self.lattice.first_pixel(key[1]) - self.origin_yx[1]
        return Window(y0, x0, y0 + self.lattice.patch, x0 + self.lattice.patch)

    def reach_window(self, key: PatchKey) -> Window:
        """Return the pixels that a patch has a say in, in array pixels."""
        (y0, y1), (x0, x1) = map(self.lattice.reach, key)
        return Window(y0, x0, y1, x1).shifted(-self.origin_yx[0], -self.origin_yx[1])

    def _patches(self, window: Window) -> Iterator[PatchKey]:
        gy, gx = self.origin_yx
        for ky in self.lattice.over(window.y0 + gy, window.y1 + gy):
            for kx in self.lattice.over(window.x0 + gx, window.x1 + gx):
                yield ky, kx

    def _last_use(self, key: PatchKey) -> int:
        """Return the index of the last block that a patch has a say in."""
        place = self.reach_window(key)
        return max(
            self._order.get((by, bx), -1)
            for by in range(place.y0 // self.size, -(-place.y1 // self.size))
            for bx in range(place.x0 // self.size, -(-place.x1 // self.size))
        )


def blocks_of(time_slot: int, shard: tuple[int, int], window: Window, size: int) -> Iterator[Block]:
    """Cut a shard's window into blocks of `size` px, row by row."""
    for y0 in range(window.y0, window.y1, size):
        for x0 in range(window.x0, window.x1, size):
            piece = Window(y0, x0, y0 + size, x0 + size).clipped(window)
            yield Block(time_slot, shard, piece)
