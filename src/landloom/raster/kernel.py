"""How the engine's hot loops are compiled: one decorator, so that all of them are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Compile a loop over arrays: without the GIL, and kept on disk for the next process.

    Arithmetic is strict IEEE, and a division by zero gives inf or NaN as numpy's does. Types are
    taken from the first call, so callers must always pass the same dtypes and layouts
    (C-contiguous), or each new combination is compiled anew.
    """
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
