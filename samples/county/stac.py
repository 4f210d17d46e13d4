"""The catalogue of the scenes: static STAC, and the entries by which Landloom reads it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pystac
import shapely
from pyproj import Transformer

from county.ground import BANDS, DATES
from county.scene import CLASS_RESOLUTION, RESOLUTION, SceneFiles, Tile

COLLECTION = "sentinel-2-l2a-relocated"
COMMON_NAMES = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
]
NOTE = (
    "RELOCATED: real Sentinel-2 pixels of the Inn valley (tile 33UUP, {day}), mirror-tiled to this"
    " place, with clouds drawn from the scene classifications of other scenes. It does not show"
    " what is here. Place and date are made up; see landloom's samples/imagery/SOURCES.md."
)
CATALOG_TOML = """\
# Name this file by LANDLOOM_CATALOG: the Sentinel-2 datasets read the relocated scenes beside it,
# and the sample's fixed rule answers for the recipe FTW.
[datasets.S2_MED_PLANTING]
source = {{ kind = "static", href = "stac/{collection}/collection.json" }}

[datasets.S2_MED_HARVEST]
source = {{ kind = "static", href = "stac/{collection}/collection.json" }}

[recipes.RELOCATED_FIELDS]
extends = "FTW"
about = "Field edges by the sample's fixed rule, over relocated scenes"
answers = ["FTW"]
feature_order_verified = true
max_batch_size = 8
model = {{ href = "{model}", verified = true }}
"""


def write_catalog(scenes: list[SceneFiles], out: Path, model: Path) -> None:
    """Write `stac/` with a collection and an item a scene, and `catalog.toml`."""
    root = pystac.Catalog("landloom-relocated", "Relocated scenes for trying Landloom at scale")
    boxes = [_outline(scene.tile).bounds for scene in scenes]
    times = [scene.acquired for scene in scenes]
    extent = pystac.Extent(
        pystac.SpatialExtent([list(shapely.MultiPoint([*_corners(boxes)]).bounds)]),
        pystac.TemporalExtent([[min(times), max(times)]]),
    )
    collection = pystac.Collection(
        COLLECTION,
        NOTE.format(day=", ".join(DATES.values())),
        extent,
        license="other",
        stac_extensions=[],
    )
    root.add_child(collection)
    for scene in scenes:
        collection.add_item(_item(scene))
    root.normalize_hrefs(str(out / "stac"))
    for item, scene in zip(collection.get_items(), scenes, strict=True):
        item.set_self_href(str(scene.folder / f"{scene.id}.json"))
    root.make_all_asset_hrefs_relative()
    root.save(catalog_type=pystac.CatalogType.SELF_CONTAINED)
    text = CATALOG_TOML.format(collection=COLLECTION, model=model.resolve().as_posix())
    (out / "catalog.toml").write_text(text)


def _item(scene: SceneFiles) -> pystac.Item:
    outline = _outline(scene.tile)
    tile = scene.tile
    item = pystac.Item(
        scene.id,
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        scene.acquired,
        {
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "description": NOTE.format(day=DATES[scene.season]),
            "gsd": RESOLUTION,
            "constellation": "sentinel-2",
            "proj:code": f"EPSG:{tile.epsg}",
            "grid:code": f"RELOCATED-{tile.name}",
            "eo:cloud_cover": round(scene.cover * 100, 2),
            "earthsearch:boa_offset_applied": True,
            "landloom:relocated": True,
            "landloom:relocated_from": f"MGRS-33UUP {DATES[scene.season]}",
        },
        stac_extensions=EXTENSIONS,
    )
    for name in BANDS:
        item.add_asset(COMMON_NAMES[name], _asset(scene, name, RESOLUTION))
    item.add_asset("scl", _asset(scene, "SCL", CLASS_RESOLUTION))
    return item


def _asset(scene: SceneFiles, name: str, resolution: int) -> pystac.Asset:
    tile = scene.tile
    shrink = resolution // RESOLUTION
    fields: dict[str, Any] = {
        "proj:shape": [tile.height // shrink, tile.width // shrink],
        "proj:transform": list(tile.transform(resolution)),
    }
    if name in COMMON_NAMES:
        fields |= {"data_type": "uint16", "nodata": 0, "raster:scale": 0.0001, "raster:offset": 0}
        fields["bands"] = [{"name": name, "eo:common_name": COMMON_NAMES[name]}]
    else:
        fields |= {"data_type": "uint8", "nodata": 0}
    return pystac.Asset(
        str(scene.folder / f"{name}.tif"),
        title=name,
        media_type=pystac.MediaType.COG,
        roles=["data"],
        extra_fields=fields,
    )


def _outline(tile: Tile) -> shapely.Polygon:
    """Return a tile's outline in EPSG:4326."""
    west, north = tile.transform(RESOLUTION) @ (0, 0)
    east, south = tile.transform(RESOLUTION) @ (tile.width, tile.height)
    to_degrees = Transformer.from_crs(tile.epsg, 4326, always_xy=True).transform
    side = shapely.segmentize(shapely.box(west, south, east, north), 10_000.0)
    return shapely.transform(side, to_degrees, interleaved=False)


def _corners(boxes: list[tuple[float, float, float, float]]) -> list[tuple[float, float]]:
    return [corner for box in boxes for corner in (box[:2], box[2:])]
