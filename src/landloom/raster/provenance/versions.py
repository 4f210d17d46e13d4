"""Which code makes an output: the engine's own, and the libraries whose numbers it passes on."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("landloom", "numpy", "numba", "torch", "openvino")
"""Distributions whose version may change pixels."""

CODE_DIGITS = 12


@lru_cache(maxsize=1)
def engine_version() -> str:
    """Return the engine's version and a digest of its code: `0.1.0+5f3c...`.

    The digest tells apart what one version number does not: a checkout before and after a change.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{version('landloom')}+{digest.hexdigest()[:CODE_DIGITS]}"


def versions() -> dict[str, str]:
    """Return the version of everything that may change pixels; what is not installed is left out.

    Nothing heavy is imported: torch's version is that of its distribution.
    """
    found = {"engine": engine_version(), "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    # GDAL has no distribution of its own: it rides in rasterio's wheel.
    from rasterio import __gdal_version__  # noqa: PLC0415 - only outputs of scenes have it loaded

    return found | {"gdal": str(__gdal_version__), "machine": platform.machine()}


def differences(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return a sentence for each version that is not what it was."""
    return [
        f"{name} was {then.get(name, 'not there')} and is {now.get(name, 'not there')} here"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
