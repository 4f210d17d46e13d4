"""How the engine's hot loops are compiled: one decorator, so that all of them are alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numba


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Compile a loop over arrays: without the GIL, and kept on disk for the next process.

    Arithmetic is strict IEEE, and a division by zero gives inf or NaN as numpy's does. Types are
    taken from the first call, so callers must always pass the same dtypes and layouts
    (C-contiguous), or each new combination is compiled anew.

    numba keeps compiled code by the text of its own file alone, although loops of other files are
    compiled into it; here it goes by all files of the folder that hold loops.
    """
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    folder = Path(function.__code__.co_filename).parent
    kept = compiled._cache._cache_file  # noqa: SLF001 - there is no public way to say this
    kept._source_stamp = kept._source_stamp, _stamp(folder)  # noqa: SLF001 - as above
    return cast("F", compiled)


@lru_cache(maxsize=64)
def _stamp(folder: Path) -> str:
    """Return a digest of a folder's files with loops."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text:
            digest.update(text)
    return digest.hexdigest()
