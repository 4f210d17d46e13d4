"""One workflow from request to result: the engine's front door.

Server (through `worker`), client (in process) and command line all come in here. Outputs have
names that follow from the workflow's seed, so a workflow that is started again finds what it had
finished and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

from landloom.errors import Cancelled
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.execute.selection import executor_of
from landloom.raster.journal import Journal
from landloom.raster.methods import derived, geometries, mosaics, predictions
from landloom.raster.methods.work import Work
from landloom.raster.mosaic.read import shared_reader
from landloom.raster.settings import EngineSettings
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildGtiMosaics,
    BuildMosaics,
    BuildZarrMultiscales,
    PredictGeometries,
    PredictGeometriesRecipe,
    PredictMosaic,
    RunMosaicsChange,
    VectorizeMosaic,
    WorkflowRequest,
)
from landloom.wire.results import WorkflowResult


def run(
    request: WorkflowRequest,
    *,
    settings: EngineSettings,
    seed: str,
    show: Callable[[ProgressEvent], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> WorkflowResult:
    """Do what `request` asks for.

    Args:
        request: What to do.
        settings: The engine's surroundings; outputs go to `settings.output_uri`.
        seed: The workflow's id: the same id, request and folder go on where an earlier run stopped.
        show: Called with every progress event, from this thread.
        cancelled: Asked between pieces of work; true ends the workflow.

    Raises:
        LandloomError: What went wrong, with the thing's name and the way out.
    """
    # What lies at a name may have changed since an earlier workflow of this process.
    shared_reader().renew()
    if request.bucket:
        settings = settings.writing_to(_below(request.bucket, seed))
    journal = Journal(show)
    # A plan runs nothing, so it needs no cluster.
    chosen = (
        LocalExecutor(settings.workers)
        if request.dry_run
        else executor_of(settings, partial(journal.report, "predict"))
    )
    with closing(chosen) as executor:
        work = Work(settings, seed, journal, cancelled, executor, request)
        if cancelled():
            raise Cancelled("The workflow was cancelled before it began.")
        result = _do(work, request)
    return result.model_copy(update={"warnings": work.journal.warnings})


def _do(work: Work, request: WorkflowRequest) -> WorkflowResult:  # noqa: PLR0911 - one line a kind
    match request:
        case BuildMosaics():
            return mosaics.build(work, request)
        case BuildGtiMosaics():
            return mosaics.build_gti(work, request)
        case BuildAndPredictRecipe():
            return predictions.predict_recipe(work, request)
        case PredictMosaic():
            return predictions.predict(work, request)
        case PredictGeometries():
            return geometries.predict(work, request)
        case PredictGeometriesRecipe():
            return geometries.predict_recipe(work, request)
        case RunMosaicsChange():
            return derived.change(work, request)
        case VectorizeMosaic():
            return derived.vectorize(work, request)
        case BuildZarrMultiscales():
            return derived.multiscales(work, request)


def _below(bucket: str, seed: str) -> str:
    """Return the folder for the outputs of one workflow below what the caller named."""
    root = bucket if "://" in bucket or bucket.startswith("/") else f"s3://{bucket}"
    return f"{root.rstrip('/')}/{seed}/"
