"""How the hot loops are compiled: without the GIL, once, cached on disk (`NUMBA_CACHE_DIR`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Return `function` as machine code that releases the GIL; strict IEEE arithmetic is kept."""
    return cast("F", numba.njit(nogil=True, cache=True, error_model="numpy")(function))
