"""`build_mosaics` and `build_gti_mosaics`, and the mosaics that recipes want."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from landloom.raster.aoi import AoiRow, read_aoi
from landloom.raster.catalog import Dataset
from landloom.raster.gti import plan_gti
from landloom.raster.memory import return_free_memory
from landloom.raster.methods.plans import plan_of
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.build import Sizes, build_mosaic
from landloom.raster.mosaic.plan import MosaicPlan, plan_mosaic
from landloom.raster.store.index import write_index
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildGtiMosaics,
    BuildMosaics,
    PredictGeometriesRecipe,
)
from landloom.wire.results import MosaicRow, WorkflowResult

type WindowRequest = BuildMosaics | BuildAndPredictRecipe | PredictGeometriesRecipe
"""Requests that look for imagery in a place and a time."""

type MosaicRequest = WindowRequest | BuildGtiMosaics
"""Requests that build mosaics."""

type FindPlan = Callable[[AoiRow], MosaicPlan]


def build(work: Work, request: BuildMosaics) -> WorkflowResult:
    """Build one mosaic per AOI row."""
    catalog = work.catalog()
    datasets = [catalog.dataset(name) for name in request.datasets]
    aoi = read_aoi(request.aoi)
    find = searching(request, datasets)
    if request.dry_run:
        return WorkflowResult(plan=plan_of(work, [find(row) for row in aoi]))
    rows = mosaics(work, request, aoi, find)
    index = index_of(work, rows, aoi, [each.name for each in datasets], request.start, request.end)
    return WorkflowResult(mosaics=rows, index_uri=index)


def build_gti(work: Work, request: BuildGtiMosaics) -> WorkflowResult:
    """Build one mosaic of the caller's own rasters per AOI row."""
    aoi = read_aoi(request.aoi)

    def find(row: AoiRow) -> MosaicPlan:
        return plan_gti(request, row)

    if request.dry_run:
        return WorkflowResult(plan=plan_of(work, [find(row) for row in aoi]))
    rows = mosaics(work, request, aoi, find, work.sizes(request.xy_chunksize))
    return WorkflowResult(mosaics=rows, index_uri=index_of(work, rows, aoi, ["gti"]))


def searching(request: WindowRequest, datasets: Sequence[Dataset]) -> FindPlan:
    """Return what finds the scenes that a request wants at an AOI row."""

    def find(row: AoiRow) -> MosaicPlan:
        return plan_mosaic(datasets, row, request.start, request.end, request.target_crs)

    return find


def mosaics(
    work: Work,
    request: MosaicRequest,
    aoi: Sequence[AoiRow],
    find: FindPlan,
    sizes: Sizes | None = None,
) -> list[MosaicRow]:
    """Build one mosaic per AOI row."""
    rows = []
    for number, row in enumerate(aoi):
        made = build_mosaic(
            partial(find, row),
            work.uri(f"mosaic-{number}", ".zarr"),
            work.executor,
            work.journal.report,
            work.cancelled,
            key=_key(request, row),
            warn=work.journal.warn,
            sizes=sizes or work.sizes(),
            on_error=request.on_error,
            overviews=request.overviews,
        )
        return_free_memory()
        work.journal.report("publish", f"Mosaic at {made.location}")
        rows.append(made)
    return rows


def index_of(
    work: Work,
    rows: Sequence[MosaicRow],
    aoi: Sequence[AoiRow],
    datasets: Sequence[str],
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Write the index of mosaics and return its URI."""
    uri = work.uri("index", ".parquet")
    geometries = [row.geometry for row in aoi]
    write_index(uri, rows, geometries, datasets=datasets, start=start, end=end)
    return uri


def _key(request: MosaicRequest, row: AoiRow) -> str:
    """Return what a mosaic is called for: the request as far as it has a say, and the place."""
    said = request.model_dump_json(exclude={"runtime", "bucket", "cache", "dry_run", "aoi"})
    return hashlib.sha256(said.encode() + row.geometry.wkb).hexdigest()
