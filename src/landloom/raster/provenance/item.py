"""A STAC item for each output, so that any STAC reader finds, places and opens it.

STAC 1.1.0 (https://github.com/radiantearth/stac-spec) with the extensions projection 2.0, raster
2.0, processing 1.2, file 2.1 and, for predictions, machine learning model 1.4. The item lies in the
output's `_landloom` folder; hrefs are relative to it, so that a copied output stays whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from landloom.raster.grid import footprint
from landloom.raster.provenance.origin import UsedModel
from landloom.raster.provenance.record import ITEM, Provenance, Scenes
from landloom.raster.store.companions import companion
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import CubeStore

STAC_VERSION = "1.1.0"

PROJECTION, RASTER, PROCESSING, FILE, MLM = (
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in (
        "projection/v2.0.0",
        "raster/v2.0.0",
        "processing/v1.2.0",
        "file/v2.1.0",
        "mlm/v1.4.0",
    )
)

ZARR_TYPE = "application/vnd.zarr; version=3"
PARQUET_TYPE = "application/vnd.apache.parquet"
SHA256_MULTIHASH = "1220"
"""How a multihash says: sha2-256, 32 bytes."""

TITLES = {
    "mosaic": "Mosaic",
    "prediction": "Prediction",
    "polygons": "Polygons",
    "geometries": "Geometries",
    "change": "Change",
    "multiscales": "Multiscale pyramid",
}
TASKS = {"regression_pytorch": "regression"}
"""Actors whose task is not semantic segmentation."""


def stac_item(
    uri: str, provenance: Provenance, grid: CubeStore, scenes: Scenes | None
) -> dict[str, Any]:
    """Return the STAC item of an output.

    Args:
        uri: Of the output.
        provenance: Its record.
        grid: The output itself if it is a store, or the store that its geometries were found in.
        scenes: Its frozen scenes; None where it is made of stores of others.
    """
    origin = provenance.origin
    start, end = _span(grid, scenes)
    outline: BaseGeometry = footprint(grid.geobox)
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    extensions = [PROJECTION, RASTER, PROCESSING]
    properties: dict[str, Any] = {
        "title": f"{TITLES[origin.what]} {name}",
        "datetime": None,
        "start_datetime": _text(start),
        "end_datetime": _text(end),
        "created": _text(provenance.made_at),
        "processing:software": {"landloom": origin.engine},
        "processing:facility": "Landloom",
        **_projection(grid),
    }
    assets = {"data": _data_asset(origin.what, grid), **_side_assets()}
    if origin.model is not None:
        extensions += [FILE, MLM]
        properties |= _model_properties(origin.model, origin.parameters, origin.what)
        assets["model"] = _model_asset(origin.model)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions,
        "id": f"{name.partition('.')[0]}-{provenance.digest[:12]}",
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": properties,
        "links": [
            {
                "rel": "derived_from",
                "href": companion(each.uri, ITEM),
                "type": "application/geo+json",
            }
            for each in origin.inputs
        ],
        "assets": assets,
    }


def _span(grid: CubeStore, scenes: Scenes | None) -> tuple[datetime, datetime]:
    """Return the first and the last moment: of the windows that were searched, or of the times."""
    spans = list(_windows(scenes))
    if spans:
        return min(start for start, _ in spans), max(end for _, end in spans)
    times = np.array(grid.times, "datetime64[s]")
    return _moment(times.min()), _moment(times.max())


def _windows(scenes: Scenes | None) -> Sequence[tuple[datetime, datetime]]:
    if scenes is None:
        return []
    if "steps" in scenes:
        return [
            (datetime.fromisoformat(table["start"]), datetime.fromisoformat(table["end"]))
            for step in scenes["steps"]
            for table in step
        ]
    return [span for each in scenes["inputs"] for span in _windows(each)]


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(time)).replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _projection(grid: CubeStore) -> dict[str, Any]:
    crs = crs_of(grid.geobox)
    epsg = crs.to_epsg()
    bounds = grid.geobox.boundingbox
    said: dict[str, Any] = {
        "proj:code": None if epsg is None else f"EPSG:{epsg}",
        "proj:shape": list(grid.shape_yx),
        "proj:transform": [float(number) for number in tuple(grid.geobox.affine)[:6]],
        "proj:bbox": [bounds.left, bounds.bottom, bounds.right, bounds.top],
    }
    return said if epsg is not None else {**said, "proj:wkt2": crs.to_wkt("WKT2_2019")}


def _data_asset(what: str, grid: CubeStore) -> dict[str, Any]:
    if what in {"polygons", "geometries"}:
        return {"href": "../", "type": PARQUET_TYPE, "roles": ["data"], "title": TITLES[what]}
    return {
        "href": "../",
        "type": ZARR_TYPE,
        "roles": ["data"],
        "title": TITLES[what],
        "raster:spatial_resolution": grid.resolution,
        "bands": [
            {"name": band, "data_type": grid.dtype, "nodata": 0 if grid.dtype == "uint8" else "nan"}
            for band in grid.bands
        ],
    }


def _side_assets() -> dict[str, dict[str, Any]]:
    return {
        name: {"href": f"{name}.json", "type": "application/json", "roles": ["metadata"]}
        for name in ("provenance", "scenes")
    }


def _model_properties(model: UsedModel, parameters: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what the MLM extension asks for: the model's input and output as they were used."""
    patch, features = parameters["patch_size"], list(parameters["features"])
    name = model.href.rsplit("/", 1)[-1]
    axes = ["batch", "channel", "height", "width"]
    detects = what == "geometries"
    task = "detection" if detects else TASKS.get(parameters["actor"], "semantic-segmentation")
    labels = list(parameters["text_prompt" if detects else "labels"])
    return {
        "mlm:name": name,
        "mlm:architecture": "unknown",
        "mlm:framework": "pytorch",
        "mlm:tasks": [task],
        "mlm:input": [
            {
                "name": "patch",
                "bands": features,
                "input": {
                    "shape": [-1, len(features), patch, patch],
                    "dim_order": axes,
                    "data_type": "float32",
                },
            }
        ],
        "mlm:output": [
            {
                "name": "scores",
                "tasks": [task],
                "result": {
                    "shape": [-1, len(labels), patch, patch],
                    "dim_order": axes,
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": value, "name": label} for value, label in enumerate(labels)
                ],
            }
        ],
    }


def _model_asset(model: UsedModel) -> dict[str, Any]:
    return {
        "href": model.href,
        "type": "application/zip; application=pytorch",
        "roles": ["mlm:model"],
        "mlm:artifact_type": "torch.export.save",
        "file:checksum": f"{SHA256_MULTIHASH}{model.sha256}",
    }
