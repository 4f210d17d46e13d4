"""What an output is: its grid or its rows, what its values are like, and where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landloom.errors import StoreProblem
from landloom.raster.grid import Window, footprint
from landloom.raster.multiscales import STATISTICS
from landloom.raster.multiscales.statistics import BandSketch
from landloom.raster.provenance import Provenance, contents_of, read_provenance
from landloom.raster.store import objects
from landloom.raster.store.layout import crs_of
from landloom.raster.store.ranged import open_object
from landloom.raster.store.zarr import CubeStore

SAMPLES = 12
"""Windows that are read of a store that carries no statistics."""

LABELS = 20
"""Labels of polygons that are counted one by one."""


def inspect(uri: str) -> dict[str, Any]:
    """Return as JSON values what lies at `uri`: a store, a GeoParquet folder, or an index.

    Raises:
        StoreProblem: It is none of these.
    """
    looks_like_table = uri.rstrip("/").endswith(".parquet")
    found = _table(uri) if looks_like_table else _store(CubeStore.open(uri))
    record = None if found["kind"] == "index" else read_provenance(uri)
    contents = contents_of(uri) if found["kind"] != "index" else None
    return {
        "uri": uri,
        **found,
        "bytes": None if contents is None else contents.bytes,
        "objects": None if contents is None else contents.objects,
        "provenance": None if record is None else _story(record),
    }


def _store(store: CubeStore) -> dict[str, Any]:
    epsg = crs_of(store.geobox).to_epsg()
    bounds = store.geobox.boundingbox
    known = store.attributes.get(STATISTICS)
    return {
        "kind": "store",
        "complete": store.complete if store.native else None,
        "crs": crs_of(store.geobox).name if epsg is None else f"EPSG:{epsg}",
        "shape_yx": list(store.shape_yx),
        "resolution": store.resolution,
        "bounds": [bounds.left, bounds.bottom, bounds.right, bounds.top],
        "bbox_degrees": list(footprint(store.geobox).bounds),
        "bands": list(store.bands),
        "times": [str(time) for time in store.times],
        "shard": store.shard,
        "chunk": store.chunk,
        "overviews": bool(store.attributes.get("multiscales")),
        "valid_fraction": store.attributes.get("landloom:valid_fraction"),
        "statistics": _sampled(store) if known is None else _known(known),
    }


def _known(statistics: dict[str, Any]) -> dict[str, Any]:
    whole = statistics.get("shards") == statistics.get("of_shards")
    bands = {label: _short(said) for label, said in statistics["bands"].items()}
    return {"of": "every pixel" if whole else "the shards so far", "bands": bands}


def _sampled(store: CubeStore) -> dict[str, Any]:
    """Return statistics of chunks spread evenly over the store, all of it if it is small."""
    height, width = store.shape_yx
    side = store.chunk
    places = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    every = [(step, *place) for step in range(len(store.times)) for place in places]
    chosen = np.unique(np.linspace(0, len(every) - 1, SAMPLES).round().astype(int))
    sketches = [BandSketch() for _ in store.bands]
    read = 0
    for step, y, x in (every[place] for place in chosen):
        pixels = store.read(step, None, Window(y, x, min(y + side, height), min(x + side, width)))
        read += pixels[0].size
        sketches = [
            sketch.merged(BandSketch.of(band))
            for sketch, band in zip(sketches, pixels, strict=True)
        ]
    whole = len(chosen) == len(every)
    bands = {
        label: {**_short(sketch.document()), "valid": sketch.count / max(1, read)}
        for label, sketch in zip(store.bands, sketches, strict=True)
    }
    return {"of": "every pixel" if whole else f"a sample of {read:,} pixels", "bands": bands}


def _short(said: dict[str, Any]) -> dict[str, Any]:
    return {key: said[key] for key in ("minimum", "mean", "maximum", "stddev") if key in said}


def _table(uri: str) -> dict[str, Any]:
    """Return what the footers of a GeoParquet folder or file say, and its labels."""
    parts = sorted(each for each in objects.list_objects(uri) if each.endswith(".parquet"))
    if not parts and not objects.exists(uri.rstrip("/")):
        raise StoreProblem(
            f"There is nothing at {uri}.",
            suggestion="Pass the URI of a store, of a folder of polygons, or of an index.",
        )
    files = [_open(part) for part in parts or [uri.rstrip("/")]]
    schema = files[0].schema_arrow
    index = "location" in schema.names
    columns = ["location"] if index else [name for name in ("label",) if name in schema.names]
    counts: dict[str, int] = {}
    for file in files if columns else []:
        for found in file.read(columns).column(0).value_counts().to_pylist():
            counts[found["values"]] = counts.get(found["values"], 0) + found["counts"]
    listed = dict(sorted(counts.items(), key=lambda each: -each[1])[:LABELS])
    return {
        "kind": "index" if index else "polygons",
        "rows": sum(file.metadata.num_rows for file in files),
        "parts": len(files),
        "columns": {field.name: str(field.type) for field in schema},
        "locations" if index else "labels": list(listed) if index else listed,
    }


def _open(uri: str) -> Any:
    try:
        return pq.ParquetFile(open_object(uri))
    except (pa.ArrowException, OSError) as error:
        raise StoreProblem(f"{uri} is not Parquet: {error}.") from error


def _story(record: Provenance) -> dict[str, Any]:
    """Return a record as far as people ask for it."""
    origin = record.origin
    model = origin.model
    return {
        "digest": record.digest,
        "what": origin.what,
        "made_at": record.made_at.isoformat(),
        "by": record.request.get("kind"),
        "workflow": record.seed,
        "recipe": (record.catalogue.get("recipe") or {}).get("name"),
        "datasets": record.catalogue.get("datasets") or [],
        "model": None if model is None else {"href": model.href, "sha256": model.sha256},
        "inputs": [each.uri for each in origin.inputs],
        "parameters": dict(origin.parameters),
        "skipped_rasters": record.skipped_rasters,
        "skipped": list(record.skipped),
        "versions": dict(record.versions),
    }
