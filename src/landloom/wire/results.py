"""What a workflow made, and how the server shows a workflow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from landloom.wire.enums import WorkflowStatus
from landloom.wire.model import WireModel
from landloom.wire.plan import Plan
from landloom.wire.progress import ProgressEvent


class MosaicRow(WireModel):
    """One output store: one row of a mosaic index."""

    location: str
    """URI of the Zarr store."""
    crs: str
    shape_yx: tuple[int, int]
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees (EPSG:4326)."""
    bands: list[str]
    valid_fraction: float | None = None
    """Share of pixels with a value in every band, 0 to 1; None where nobody counted."""


class WorkflowResult(WireModel):
    """Everything a workflow hands back.

    A mosaic or prediction fills `mosaics` and `index_uri`; a vectorization fills `uri` and `count`.
    `plan` is set, and all else empty, when the request was a dry run.
    """

    mosaics: list[MosaicRow] = []
    index_uri: str | None = None
    inputs: list[MosaicRow] = []
    """Mosaics built on the way to a prediction."""
    uri: str | None = None
    count: int | None = None
    """Polygons written."""
    pmtiles_uri: str | None = None
    """Vector tiles of the polygons, where they were asked for: a PMTiles archive."""
    warnings: list[str] = []
    skipped_rasters: int = 0
    """Rasters that could not be read and were left out because the request allowed it."""
    cached: bool = False
    """Whether an earlier workflow had made all of this."""
    plan: Plan | None = None


class WorkflowError(WireModel):
    """Why a workflow failed, as the engine said it."""

    code: str
    message: str
    suggestion: str = ""


class WorkflowView(WireModel):
    """A workflow as `GET /rasterflow/runs/{id}` shows it."""

    id: str
    run_id: str | None = None
    """The job run that asked for it, if one did."""
    kind: str
    status: WorkflowStatus
    create_time: datetime
    update_time: datetime
    start_time: datetime | None = None
    complete_time: datetime | None = None
    message: str = ""
    """What it is doing, or waiting for, in a sentence."""
    progress: ProgressEvent | None = None
    result: WorkflowResult | None = None
    error: WorkflowError | None = None
    request: dict[str, Any] = {}
