"""Decoded blocks that neighbouring tiles share: bounded in bytes, each decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

type Block = NDArray[Any]
type LoadBlocks = Callable[[list[int]], list[Block]]
"""Loads the blocks at these places of the keys asked for."""


NOTHING_LEFT = 0.02
"""Share of a block below which nobody is taken to want it again."""


class BlockCache:
    """A least-recently-used cache that several threads fill together.

    A block that one thread is decoding is waited for by the others, never decoded twice. Who takes
    a part of a block says how large it is: what nobody is likely to want again goes at once.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._left: dict[Hashable, float] = {}
        self._bytes = 0
        self._coming: dict[Hashable, Future[Block]] = {}
        self._lock = threading.Lock()

    def get(
        self, keys: Sequence[Hashable], load: LoadBlocks, shares: Sequence[float] | None = None
    ) -> list[Block]:
        """Return a block per key; those that nobody has or is loading go through `load` at once.

        Args:
            keys: Of the blocks.
            load: Loads what is not here.
            shares: How much of each block's pixels the caller takes, up to 1; None is nothing. A
                block of which all was taken is forgotten.

        Raises:
            Exception: Whatever `load` raises, here or in the thread that was waited for.
        """
        found: list[Block | None] = [None] * len(keys)
        mine: dict[int, Future[Block]] = {}
        others: dict[int, Future[Block]] = {}
        with self._lock:
            for place, key in enumerate(keys):
                if key in self._blocks:
                    self._blocks.move_to_end(key)
                    found[place] = self._blocks[key]
                elif key in self._coming:
                    others[place] = self._coming[key]
                else:
                    mine[place] = self._coming[key] = Future()
        self._fulfil(keys, mine, load)
        for place, future in {**mine, **others}.items():
            found[place] = future.result()
        if shares is not None:
            self._take(keys, shares)
        return [block for block in found if block is not None]

    def holds(self, key: Hashable) -> bool:
        """Return whether a block is here, or another thread is loading it."""
        with self._lock:
            return key in self._blocks or key in self._coming

    def clear(self) -> None:
        """Forget every block."""
        with self._lock:
            self._blocks.clear()
            self._left.clear()
            self._bytes = 0

    def _take(self, keys: Sequence[Hashable], shares: Sequence[float]) -> None:
        with self._lock:
            for key, share in zip(keys, shares, strict=True):
                if key in self._blocks:
                    self._left[key] = self._left.get(key, 1.0) - share
                    if self._left[key] < NOTHING_LEFT:
                        self._drop(key)

    def _drop(self, key: Hashable) -> None:
        """Forget a block; the lock is held."""
        self._bytes -= self._blocks.pop(key).nbytes
        self._left.pop(key, None)

    def _fulfil(
        self, keys: Sequence[Hashable], mine: dict[int, Future[Block]], load: LoadBlocks
    ) -> None:
        """Load what this thread promised; on failure, those who wait are told."""
        if not mine:
            return
        try:
            blocks = load(list(mine))
        except BaseException as error:
            with self._lock:
                for place in mine:
                    self._coming.pop(keys[place], None)
            for future in mine.values():
                future.set_exception(error)
            raise
        with self._lock:
            for place, block in zip(mine, blocks, strict=True):
                self._coming.pop(keys[place], None)
                self._blocks[keys[place]] = block
                self._bytes += block.nbytes
            while self._bytes > self.limit_bytes and self._blocks:
                self._drop(next(iter(self._blocks)))
        for future, block in zip(mine.values(), blocks, strict=True):
            future.set_result(block)
