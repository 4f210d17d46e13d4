"""Environments of foreign clients: made once by uv from hashed pins, kept in the build folder."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / "build" / "clients"
INSTALL_SECONDS = 600


def client_python(name: str) -> Path:
    """Return the interpreter of the environment of `requirements-<name>.txt`.

    A changed pin, or another Python, makes another environment; half-made ones are made anew.
    """
    pins = HERE / f"requirements-{name}.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = KEPT / f"{name}-{digest}"
    python = place / "bin" / "python"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            _uv("venv", "--quiet", "--python", sys.executable, place)
            _uv("pip", "sync", "--quiet", "--python", python, "--require-hashes", pins)
            (place / "ready").touch()
    return python


def _uv(*arguments: str | Path) -> None:
    done = subprocess.run(
        [find_uv_bin(), *arguments],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
