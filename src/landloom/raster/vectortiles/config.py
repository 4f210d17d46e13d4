"""How vector tiles are cut and what an archive says of itself."""

from __future__ import annotations

from dataclasses import dataclass

HIGHEST_ZOOM = 22
"""What tippecanoe can number."""


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How tiles are cut.

    Raises:
        ValueError: A value cannot be used.
    """

    min_zoom: int = 0
    max_zoom: int = 15
    resolution: int = 4096
    """Units a tile is wide; a power of two."""
    buffer: float = 0.1
    """How far a tile reaches beyond its sides, in widths of a tile."""
    features_per_tile: int = 50_000
    """Where a tile would hold more, its densest features are left out."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_zoom <= self.max_zoom <= HIGHEST_ZOOM:
            raise ValueError(
                f"zoom {self.min_zoom} to {self.max_zoom} is no range within 0 to {HIGHEST_ZOOM}"
            )
        if self.resolution < 256 or self.resolution & (self.resolution - 1):  # noqa: PLR2004
            raise ValueError(f"resolution {self.resolution} is no power of two from 256 on")
        if not 0 <= self.buffer <= 0.5:  # noqa: PLR2004 - tippecanoe's limit is 127 of 256
            raise ValueError(f"buffer {self.buffer} is not between 0 and 0.5")
        if self.features_per_tile < 1:
            raise ValueError(f"features_per_tile is {self.features_per_tile}: pass 1 or more")


USUAL = GenerationConfig()

QUICK = GenerationConfig(max_zoom=10)
"""For a look: a few zooms."""


@dataclass(frozen=True, slots=True)
class PMTilesConfig:
    """What an archive says of itself."""

    name: str = ""
    """Empty takes the file's name."""
    description: str = ""
    attribution: str = ""


UNNAMED = PMTilesConfig()
