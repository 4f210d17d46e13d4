"""Look at a PMTiles archive."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError

from landloom.errors import StoreProblem
from landloom.raster.store import objects

MAP_SIDE = 360
"""CSS pixels of the outline map."""


@dataclass(frozen=True, slots=True)
class PMTilesView:
    """What is in an archive; a notebook shows it as a table and its place on the globe."""

    path: str
    min_zoom: int
    max_zoom: int
    bounds: tuple[float, float, float, float]
    """West, south, east, north."""
    tiles: int
    layers: tuple[str, ...]
    name: str

    def _repr_html_(self) -> str:
        """Return the view as a notebook shows it; it needs no network."""
        west, south, east, north = self.bounds
        rows = {
            "archive": self.path,
            "layers": ", ".join(self.layers),
            "zooms": f"{self.min_zoom} to {self.max_zoom}",
            "tiles": f"{self.tiles:,}",
            "bounds": f"{west:.5f}, {south:.5f}, {east:.5f}, {north:.5f}",
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(value)}</td></tr>"
            for name, value in rows.items()
        )
        return (
            f"<div><strong>{html.escape(self.name)}</strong><table>{cells}</table>"
            f"{_globe(self.bounds)}</div>"
        )


def show_pmtiles(path: str | Path) -> PMTilesView:
    """Return what is in an archive; as the last line of a notebook's cell it is shown.

    Args:
        path: `s3://bucket/key.pmtiles`, an URL, or a file.

    Raises:
        StoreProblem: It is not there, or is no PMTiles archive.
    """
    from pmtiles import reader as untyped  # noqa: PLC0415 - comes with the extra

    pmtiles: Any = untyped

    uri = str(path)
    location = objects.resolve(uri)

    def read(offset: int, length: int) -> bytes:
        return bytes(obstore.get_range(location.store, location.path, start=offset, length=length))

    try:
        reader = pmtiles.Reader(read)
        header, metadata = reader.header(), reader.metadata()
    except (BaseError, OSError) as error:
        raise StoreProblem(
            # What is below the first line is for those who mend the store's client.
            f"Cannot read {uri}: {str(error).partition('\n')[0]}",
            suggestion="Check that it exists.",
        ) from error
    except Exception as error:
        raise StoreProblem(f"{uri} is no PMTiles archive: {error}") from error
    return _view(uri, header, metadata)


def _view(uri: str, header: Mapping[str, Any], metadata: Mapping[str, Any]) -> PMTilesView:
    corners = ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7")
    west, south, east, north = (header[corner] / 1e7 for corner in corners)
    return PMTilesView(
        path=uri,
        min_zoom=header["min_zoom"],
        max_zoom=header["max_zoom"],
        bounds=(west, south, east, north),
        tiles=header["addressed_tiles_count"],
        layers=tuple(layer["id"] for layer in metadata.get("vector_layers", [])),
        name=str(metadata.get("name") or Path(uri).stem),
    )


def _globe(bounds: tuple[float, float, float, float]) -> str:
    """Return a graticule of the world with the bounds on it, as SVG."""
    west, south, east, north = bounds
    lines = "".join(f"M{x} 0V180" for x in range(0, 361, 30))
    lines += "".join(f"M0 {y}H360" for y in range(0, 181, 30))
    place = (
        f"<circle cx='{(west + east) / 2 + 180:.2f}' cy='{90 - (south + north) / 2:.2f}' r='4'/>"
    )
    box = (
        f"<rect x='{west + 180:.3f}' y='{90 - north:.3f}' width='{max(east - west, 0.5):.3f}'"
        f" height='{max(north - south, 0.5):.3f}'/>"
    )
    return (
        f"<svg viewBox='0 0 360 180' width='{MAP_SIDE}' height='{MAP_SIDE // 2}' role='img'"
        " aria-label='Where on the globe'>"
        f"<path d='{lines}' fill='none' stroke='#8886' stroke-width='.5'/>"
        f"<g fill='none' stroke='#d0452b' stroke-width='1.5'>{box}{place}</g></svg>"
    )
