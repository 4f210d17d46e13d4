"""The overviews of a store: which there are, how their shards hang together, how readers find them.

Full resolution is the store's root; each overview is a group of its own, `2x`, `4x` and so on, a
complete store with its own coordinates and transform, so that plain xarray opens any of them. The
root's attribute `multiscales` follows the Zarr conventions `multiscales`, `proj` and `spatial` and
names an OGC tile matrix set; its consolidated metadata holds all groups.

An overview's shards cover the same ground as those they are made of for as long as half a shard is
a whole number of chunks; beyond that four neighbours make one. So any shard has one task to write
it: the one that wrote its full-resolution shard, or the one that saw the last neighbour finished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from landloom.raster.grid import METRES_PER_DEGREE, Window, tile_count
from landloom.raster.store import layout, objects
from landloom.raster.store.zarr import CubeStore

CONVENTION = {
    "name": "multiscales",
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "schema_url": (
        "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v0.1/schema.json"
    ),
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v0.1/README.md",
    "description": "Multiscale layout of zarr datasets",
}
"""How the root declares the convention, as its specification asks (v0.1)."""

TILE_MATRIX_SETS = {4326: "WGS84Quad", 3857: "WebMercatorQuad"}
"""OGC's names by EPSG code. A store in any other CRS carries a set of its own."""

METRES_PER_PIXEL_AT_SCALE_1 = 0.00028
"""OGC's standardised size of a rendered pixel (Two Dimensional Tile Matrix Set, 17-083r4)."""

type ShardPlace = tuple[int, int, int]
"""(time index, iy, ix)."""


@dataclass(frozen=True)
class Pyramid:
    """A store with its overviews, whether they are there already or not."""

    base: CubeStore

    @cached_property
    def levels(self) -> tuple[CubeStore, ...]:
        """The store and its overviews, each half as fine as the one before, down to one chunk."""
        levels = [self.base]
        while max(levels[-1].shape_yx) > self.base.chunk:
            levels.append(self._overview(levels[-1], 2 ** len(levels)))
        return tuple(levels)

    @cached_property
    def depth(self) -> int:
        """How many overviews have shards that are each made of one shard of the level before."""
        sizes = [level.shard for level in self.levels]
        return sum(coarser < finer for finer, coarser in pairwise(sizes))

    def shards(self, level: int) -> list[ShardPlace]:
        """Return every shard of a level."""
        store = self.levels[level]
        rows, columns = (tile_count((side, 1), store.shard) for side in store.shape_yx)
        return [
            (time, iy, ix)
            for time in range(len(store.times))
            for iy in range(rows)
            for ix in range(columns)
        ]

    def above(self, level: int, place: ShardPlace) -> ShardPlace:
        """Return the shard of the next overview that a shard is a part of."""
        time, iy, ix = place
        side = 2 * self.levels[level + 1].shard // self.levels[level].shard
        return time, iy // side, ix // side

    def parts(self, level: int, place: ShardPlace) -> int:
        """Return of how many shards of the level before a shard of an overview is made."""
        _, iy, ix = place
        store = self.levels[level - 1]
        window = self.levels[level].shard_window(iy, ix)
        source = doubled(window, store)
        return tile_count(source.shape_yx, store.shard)

    def create(self) -> None:
        """Make the groups of all overviews that are not there, and let the root name them."""
        for level in self.levels[1:]:
            CubeStore.create(
                level.uri,
                geobox=level.geobox,
                bands=level.bands,
                times=level.times,
                attributes={},
                shard=level.shard,
                chunk=level.chunk,
                time_deltas=level.time_deltas,
                dtype=level.dtype,
            )
        self.publish({})

    def publish(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes to the root, and to its consolidated metadata all overviews as they are.

        Nobody else may be writing the root's document.
        """
        uri = objects.join(self.base.uri, "zarr.json")
        document = json.loads(objects.read_bytes(uri))
        members = document["consolidated_metadata"]["metadata"]
        for number, level in enumerate(self.levels[1:], 1):
            group = json.loads(objects.read_bytes(f"{level.uri}/zarr.json"))
            inner = group["consolidated_metadata"]["metadata"]
            group["consolidated_metadata"] = {**group["consolidated_metadata"], "metadata": {}}
            name = name_of(number)
            members[name] = group
            members |= {f"{name}/{array}": inner[array] for array in inner}
        conventions = [*layout.CONVENTIONS, CONVENTION]
        document["attributes"] |= {
            "zarr_conventions": conventions,
            "multiscales": self.document(),
            **attributes,
        }
        objects.write_bytes(uri, json.dumps(document, indent=1).encode())

    def document(self) -> dict[str, Any]:
        """Return the root's attribute `multiscales`."""
        entries: list[dict[str, Any]] = []
        for number, level in enumerate(self.levels):
            scale = 2.0 if number else 1.0
            entry: dict[str, Any] = {"asset": name_of(number)}
            if number:
                entry |= {"derived_from": name_of(number - 1), "resampling_method": "average"}
            entry |= {
                "transform": {"scale": [scale, scale], "translation": [0.0, 0.0]},
                "spatial:shape": list(level.shape_yx),
                "spatial:transform": list(level.geobox.affine)[:6],
            }
            entries.append(entry)
        return {
            "layout": entries,
            "resampling_method": "average",
            "tile_matrix_set": self._tile_matrix_set(),
        }

    def _overview(self, finer: CubeStore, factor: int) -> CubeStore:
        half = finer.shard // 2
        shard = half if finer.shard == 2 * half and half % finer.chunk == 0 else finer.shard
        height, width = (-(-side // 2) for side in finer.shape_yx)
        geobox = self.base.geobox
        a, b, c, d, e, f = tuple(geobox.affine)[:6]
        transform = Affine(a * factor, b * factor, c, d * factor, e * factor, f)
        return CubeStore(
            objects.join(self.base.uri, f"{factor}x"),
            GeoBox((height, width), transform, geobox.crs),
            finer.bands,
            finer.times,
            shard,
            finer.chunk,
            {},
            dtype=finer.dtype,
            time_deltas=finer.time_deltas,
        )

    def _tile_matrix_set(self) -> str | dict[str, Any]:
        crs = layout.crs_of(self.base.geobox)
        epsg = crs.to_epsg()
        if epsg in TILE_MATRIX_SETS:
            return TILE_MATRIX_SETS[epsg]
        uri = "" if epsg is None else f"http://www.opengis.net/def/crs/EPSG/0/{epsg}"
        return {
            "id": f"Custom_{epsg or 'CRS'}",
            "crs": uri or {"wkt": crs.to_json_dict()},
            "orderedAxes": ["X", "Y"],
            # By the standard, matrices are listed from coarse to fine.
            "tileMatrices": [
                _tile_matrix(name_of(number), self.levels[number])
                for number in reversed(range(len(self.levels)))
            ],
        }


def name_of(level: int) -> str:
    """Return the path of a level below the root."""
    return f"{2**level}x" if level else "."


def doubled(window: Window, finer: CubeStore) -> Window:
    """Return the pixels of the level before that a window of an overview is made of."""
    height, width = finer.shape_yx
    return Window(2 * window.y0, 2 * window.x0, 2 * window.y1, 2 * window.x1).clipped(
        Window(0, 0, height, width)
    )


def _tile_matrix(name: str, level: CubeStore) -> dict[str, Any]:
    height, width = level.shape_yx
    transform = level.geobox.affine
    cell = abs(float(transform.a))
    crs = layout.crs_of(level.geobox)
    unit = METRES_PER_DEGREE if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    return {
        "id": name,
        "scaleDenominator": cell * unit / METRES_PER_PIXEL_AT_SCALE_1,
        "cellSize": cell,
        "pointOfOrigin": [float(transform.c), float(transform.f)],
        "tileWidth": level.chunk,
        "tileHeight": level.chunk,
        "matrixWidth": -(-width // level.chunk),
        "matrixHeight": -(-height // level.chunk),
    }
