"""`build_mosaics` and `build_gti_mosaics`, and the mosaics that recipes want."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from landloom.raster.aoi import AoiRow, read_aoi
from landloom.raster.catalog import Dataset, GeometryRecipe, Recipe
from landloom.raster.made import Made
from landloom.raster.methods.keeping import (
    begun_otherwise,
    catalogue_of,
    keep,
    keep_index,
    remembered,
    rows_of,
)
from landloom.raster.methods.making import make_mosaic, mosaic_origin
from landloom.raster.methods.plans import AnyInference, plan_of
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.build import Sizes, frozen_plan
from landloom.raster.mosaic.plan import MosaicPlan, plan_mosaic
from landloom.raster.plan.effort import mosaic_effort
from landloom.raster.provenance import Origin
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildGtiMosaics,
    BuildMosaics,
    PredictGeometriesRecipe,
)
from landloom.wire.results import WorkflowResult

type WindowRequest = BuildMosaics | BuildAndPredictRecipe | PredictGeometriesRecipe
"""Requests that look for imagery in a place and a time."""

type MosaicRequest = WindowRequest | BuildGtiMosaics
"""Requests that build mosaics."""

type FindPlan = Callable[[AoiRow], MosaicPlan]


@dataclass(frozen=True, slots=True)
class WantedMosaic:
    """A mosaic that is to be there: what it is made of, and where it goes if it must be built."""

    number: int
    """Of the AOI row."""
    uri: str
    key: str
    plan: MosaicPlan
    origin: Origin


def build(work: Work, request: BuildMosaics) -> WorkflowResult:
    """Build one mosaic per AOI row."""
    catalog = work.catalog()
    datasets = [catalog.dataset(name) for name in request.datasets]
    aoi = read_aoi(request.aoi)
    find = searching(request, datasets)
    if request.dry_run:
        return dry(work, request, aoi, find)
    made = [make_wanted(work, each) for each in wanted_mosaics(work, request, aoi, find)]
    names = [each.name for each in datasets]
    index = index_of(work, made, aoi, names, request.start, request.end)
    return result_of(made, index)


def build_gti(work: Work, request: BuildGtiMosaics) -> WorkflowResult:
    """Build one mosaic of the caller's own rasters per AOI row."""
    from landloom.raster.gti import plan_gti  # noqa: PLC0415 - Arrow, which only tables need

    aoi = read_aoi(request.aoi)

    def find(row: AoiRow) -> MosaicPlan:
        return plan_gti(request, row)

    sizes = work.sizes(request.xy_chunksize)
    if request.dry_run:
        return dry(work, request, aoi, find, sizes=sizes)
    wanted = wanted_mosaics(work, request, aoi, find, sizes)
    made = [make_wanted(work, each) for each in wanted]
    return result_of(made, index_of(work, made, aoi, ["gti"]))


def searching(request: WindowRequest, datasets: Sequence[Dataset]) -> FindPlan:
    """Return what finds the scenes that a request wants at an AOI row."""

    def find(row: AoiRow) -> MosaicPlan:
        return plan_mosaic(
            datasets, row, request.start, request.end, request.target_crs, request.on_error
        )

    return find


def wanted_mosaics(
    work: Work,
    request: MosaicRequest,
    aoi: Sequence[AoiRow],
    find: FindPlan,
    sizes: Sizes | None = None,
) -> Iterator[WantedMosaic]:
    """Yield what each AOI row's mosaic is to be made of; each turn is one search at most."""
    for number, row in enumerate(aoi):
        what, key = f"mosaic-{number}", _key(request, row)
        uri = work.uri(what, ".zarr")
        plan = frozen_plan(uri, key) or find(row)
        origin = mosaic_origin(
            plan,
            sizes or work.sizes(),
            on_error=request.on_error,
            overviews=request.overviews,
        )
        if begun_otherwise(uri, origin):  # its scenes stand, its pixels may be of other rasters
            uri = work.uri(what, ".zarr", origin)
        yield WantedMosaic(number, uri, key, plan, origin)


def dry(
    work: Work,
    request: MosaicRequest,
    aoi: Sequence[AoiRow],
    find: FindPlan,
    inference: AnyInference | None = None,
    *,
    sizes: Sizes | None = None,
) -> WorkflowResult:
    """Return what building the mosaics, and running a model over them, would take."""
    wanted = list(wanted_mosaics(work, request, aoi, find, sizes))
    there = sum(remembered(work, each.origin) is not None for each in wanted)
    notes = (
        [f"{there} of {len(wanted)} mosaics lie in the cache and would not be built"]
        if there
        else []
    )
    return WorkflowResult(
        plan=plan_of(work, [each.plan for each in wanted], inference, notes=notes)
    )


def make_wanted(
    work: Work, wanted: WantedMosaic, recipe: Recipe | GeometryRecipe | None = None
) -> Made:
    """Return a mosaic that is wanted: an earlier one of the same things, or built now."""
    return keep(
        work,
        wanted.origin,
        wanted.uri,
        lambda: make_mosaic(work, wanted.origin, wanted.uri, wanted.plan, wanted.key),
        number=wanted.number,
        catalogue=catalogue_of([each.name for each in wanted.plan.datasets], recipe),
        effort=lambda: mosaic_effort(wanted.plan),
    )


def index_of(
    work: Work,
    made: Sequence[Made],
    aoi: Sequence[AoiRow],
    datasets: Sequence[str],
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Return the URI of the index of stores: an earlier one of the very same, or written now."""
    rows, geometries = rows_of(made), [row.geometry for row in aoi]
    return keep_index(work, rows, geometries, datasets, start, end)


def result_of(made: Sequence[Made], index: str, inputs: Sequence[Made] = ()) -> WorkflowResult:
    """Return stores and their index as a workflow's result."""
    return WorkflowResult(
        mosaics=rows_of(made),
        index_uri=index,
        inputs=rows_of(inputs),
        skipped_rasters=sum(each.skipped_rasters for each in (*made, *inputs)),
        cached=all(each.cached for each in (*made, *inputs)),
    )


def _key(request: MosaicRequest, row: AoiRow) -> str:
    """Return what a mosaic is called for: the request as far as it has a say, and the place."""
    said = request.model_dump_json(exclude={"runtime", "bucket", "cache", "dry_run", "aoi"})
    drawn = "" if row.drawn is None else str(row.drawn)
    return hashlib.sha256(said.encode() + row.geometry.wkb + drawn.encode()).hexdigest()
