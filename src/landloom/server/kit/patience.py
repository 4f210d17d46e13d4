"""Waiting for a store or a cluster that is away for a moment, or cut off for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from landloom.errors import Unavailable

_SECONDS: Final = 30.0
"""The embedded store is back within 4 s of its death, 20 s where it must repair itself."""
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 4.0


async def patiently[T](step: Callable[[], Awaitable[T]], *, seconds: float = _SECONDS) -> T:
    """Do `step`, again and again while what it asks does not answer.

    Raises:
        Unavailable: It has not answered for `seconds`.
    """
    give_up = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await step()
        except Unavailable:
            if time.monotonic() + pause > give_up:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
