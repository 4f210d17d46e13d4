"""The platform's own packages, brought into an environment that was made without them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

OURS: Final = ("landloom", "rasterflow_remote", "vtiles", "wherobots")
"""Packages that every job can import, whatever else its environment holds."""


def link_packages(site: Path) -> None:
    """Let an environment, by its folder of packages, import them as this process does."""
    here = Path(__file__).parents[2]
    for name in OURS:
        if (here / name).is_dir() and not (site / name).exists():
            (site / name).symlink_to(here / name)
