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


class BlockCache:
    """A least-recently-used cache that several threads fill together.

    A block that one thread is decoding is waited for by the others, never decoded twice.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._bytes = 0
        self._coming: dict[Hashable, Future[Block]] = {}
        self._lock = threading.Lock()

    def get(self, keys: Sequence[Hashable], load: LoadBlocks) -> list[Block]:
        """Return a block per key; those that nobody has or is loading go through `load` at once.

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
        return [block for block in found if block is not None]

    def clear(self) -> None:
        """Forget every block."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0

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
                _, dropped = self._blocks.popitem(last=False)
                self._bytes -= dropped.nbytes
        for future, block in zip(mine.values(), blocks, strict=True):
            future.set_result(block)
