"""`predict_mosaic` and the recipes that build their mosaics first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shapely.geometry import box

from landloom.raster.aoi import read_aoi
from landloom.raster.methods.mosaics import index_of, mosaics, searching
from landloom.raster.methods.plans import plan_of
from landloom.raster.methods.work import Work, stores_of
from landloom.raster.store.index import write_index
from landloom.raster.store.zarr import CubeStore
from landloom.wire.plan import Plan
from landloom.wire.requests import BuildAndPredictRecipe, Inference, PredictMosaic
from landloom.wire.results import MosaicRow, WorkflowResult

if TYPE_CHECKING:
    from landloom.raster.prediction import ReadyModel


def predict(work: Work, request: PredictMosaic) -> WorkflowResult:
    """Run a model over existing mosaics."""
    sources = stores_of(request.mosaics)
    if request.dry_run:
        return WorkflowResult(plan=Plan(model=request.inference.model_path))
    rows = _predictions(work, _model(work, request.inference), sources)
    uri = work.uri("index", ".parquet")
    write_index(uri, rows, [box(*row.bbox) for row in rows])
    return WorkflowResult(mosaics=rows, index_uri=uri)


def predict_recipe(work: Work, request: BuildAndPredictRecipe) -> WorkflowResult:
    """Build the mosaics a recipe wants and run its model over them."""
    catalog = work.catalog()
    recipe = catalog.recipe(request.model_recipe)
    datasets = [catalog.dataset(name) for name in recipe.datasets]
    aoi = read_aoi(request.aoi)
    find = searching(request, datasets)
    if request.dry_run:
        plan = plan_of(work, [find(row) for row in aoi])
        return WorkflowResult(plan=plan.model_copy(update={"model": recipe.model.href}))
    if recipe.name != request.model_recipe.upper():
        work.journal.report(
            "search", f"Recipe {request.model_recipe} is answered by {recipe.name} here"
        )
    # The model first: one that is missing or wrong must be told before hours of mosaicking.
    model = _model(work, recipe.inference, recipe.model.sha256, recipe.name)
    inputs = mosaics(work, request, aoi, find)
    rows = _predictions(work, model, [row.location for row in inputs])
    names = [dataset.name for dataset in datasets]
    index = index_of(work, rows, aoi, names, request.start, request.end)
    return WorkflowResult(mosaics=rows, index_uri=index, inputs=inputs)


def _model(
    work: Work, inference: Inference, sha256: str | None = None, recipe: str | None = None
) -> ReadyModel:
    """Return the model, fetched and held against the request before any pixel is read."""
    # Only predictions pay the seconds that torch takes to import.
    from landloom.raster.prediction import ready_model  # noqa: PLC0415

    work.journal.report("search", f"Loading the model {inference.model_path}")
    return ready_model(inference, sha256, recipe, work.settings.models)


def _predictions(work: Work, model: ReadyModel, stores: Sequence[str]) -> list[MosaicRow]:
    rows = []
    for number, store in enumerate(stores):
        uri = work.uri(f"prediction-{number}", ".zarr")
        made = model.predict(CubeStore.open(store), uri, work.journal.report, work.cancelled)
        work.journal.report("publish", f"Prediction at {made.location}")
        rows.append(made)
    return rows
