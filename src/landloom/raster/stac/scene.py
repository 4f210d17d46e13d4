"""A scene: what the engine keeps of a STAC item, as a frozen value that goes through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

import shapely
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True, slots=True)
class Asset:
    """One band of a raster of a scene."""

    key: str
    href: str
    nodata: float | None
    """Value of pixels without data; None leaves it to the file."""
    offset: float
    """Added to every stored number; the sum is clipped at 0 where this is not 0."""
    band: int = 0
    """Which sample of the file, from 0."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition of one footprint."""

    id: str
    acquired: datetime
    """UTC."""
    tile: str
    """MGRS code, or a rounded bounding box where an item names none: the unit of `max_scenes`."""
    latitude: float
    """Degrees, of the centre of the scene's tile; it chooses the season window."""
    cloud_cover: float
    """Per cent; 0 where the item does not say."""
    footprint: tuple[float, ...]
    """West, south, east, north of the item, degrees."""
    outline: str
    """The item's geometry in EPSG:4326 as WKT."""
    bands: tuple[Asset | None, ...]
    """In the order of the dataset's bands; None for one that the item lacks."""
    mask: Asset | None

    @property
    def whole(self) -> bool:
        """Whether no band is missing."""
        return None not in self.bands

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Return what there is: bands and mask."""
        return tuple(each for each in (*self.bands, self.mask) if each is not None)

    @property
    def geometry(self) -> BaseGeometry:
        """Return the outline as a geometry in EPSG:4326."""
        return shapely.from_wkt(self.outline)

    def to_json(self) -> dict[str, Any]:
        """Return the scene as JSON values."""
        return {**asdict(self), "acquired": self.acquired.isoformat()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the scene that `to_json` wrote."""
        return cls(
            **{
                **document,
                "acquired": datetime.fromisoformat(document["acquired"]),
                "footprint": tuple(document["footprint"]),
                "bands": tuple(_asset(band) for band in document["bands"]),
                "mask": _asset(document["mask"]),
            }
        )


def _asset(document: Mapping[str, Any] | None) -> Asset | None:
    return None if document is None else Asset(**document)
