"""`predict_mosaic` and the recipes that build their mosaics first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shapely.geometry import box

from landloom.raster.aoi import read_aoi
from landloom.raster.catalog import Recipe
from landloom.raster.made import Made
from landloom.raster.methods.keeping import catalogue_of, keep, keep_index, remembered, rows_of
from landloom.raster.methods.making import make_prediction, prediction_origin
from landloom.raster.methods.mosaics import (
    WantedMosaic,
    dry,
    index_of,
    make_wanted,
    result_of,
    searching,
    wanted_mosaics,
)
from landloom.raster.methods.plans import plan_over
from landloom.raster.methods.work import Work, stores_of
from landloom.raster.models.registry import ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.plan.effort import patches_of, prediction_effort
from landloom.raster.plan.rates import Effort
from landloom.raster.provenance import InputStore, UsedModel, identify
from landloom.raster.store import objects
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    GeometryInference,
    Inference,
    PredictMosaic,
)
from landloom.wire.results import WorkflowResult

if TYPE_CHECKING:
    from landloom.raster.prediction import ReadyModel


def predict(work: Work, request: PredictMosaic) -> WorkflowResult:
    """Run a model over existing mosaics."""
    sources = stores_of(request.mosaics)
    if request.dry_run:
        opened = [CubeStore.open(uri) for uri in sources]
        check_inputs(work, request.inference, opened)
        bands = len(request.inference.features)
        plan = plan_over(work, opened, "predict", bands=bands, inference=request.inference)
        return WorkflowResult(plan=plan)
    model = _ModelOnce(work, request.inference)
    made = [_make(work, model, identify(uri), number) for number, uri in enumerate(sources)]
    rows = rows_of(made)
    return result_of(made, keep_index(work, rows, [box(*row.bbox) for row in rows]))


def predict_recipe(work: Work, request: BuildAndPredictRecipe) -> WorkflowResult:
    """Build the mosaics a recipe wants and run its model over them."""
    catalog = work.catalog()
    recipe = catalog.recipe(request.model_recipe)
    datasets = [catalog.dataset(name) for name in recipe.datasets]
    aoi = read_aoi(request.aoi)
    find = searching(request, datasets)
    if request.dry_run:
        return dry(work, request, aoi, find, recipe.inference)
    if recipe.name != request.model_recipe.upper():
        work.journal.report(
            "search", f"Recipe {request.model_recipe} is answered by {recipe.name} here"
        )
    model = _ModelOnce(work, recipe.inference, recipe)
    wanted = list(wanted_mosaics(work, request, aoi, find))
    # The model first: one that is missing or wrong must be told before hours of mosaicking.
    if not all(_foreseen(work, model, each) for each in wanted):
        model.ready()
    inputs = [make_wanted(work, each, recipe) for each in wanted]
    made = [_make(work, model, identify(each.uri), n) for n, each in enumerate(inputs)]
    names = [dataset.name for dataset in datasets]
    index = index_of(work, made, aoi, names, request.start, request.end)
    return result_of(made, index, inputs)


def check_inputs(
    work: Work, inference: Inference | GeometryInference, sources: Sequence[CubeStore]
) -> None:
    """Hold stores, and a model file that is here, against a request; nothing is fetched or loaded.

    Raises:
        InvalidInput: A store lacks a band.
        ModelUnavailable: There is no such file here.
    """
    for source in sources:
        source.require_bands(inference.features, "inference.features")
    if objects.local_path(inference.model_path) is not None:
        used_model(work, inference.model_path, None, None)


class _ModelOnce:
    """A request's model: its file at once, the rest, which takes seconds, when it is needed."""

    def __init__(self, work: Work, inference: Inference, recipe: Recipe | None = None) -> None:
        self.inference = inference
        self.recipe = recipe
        self._work = work
        self._ready: ReadyModel | None = None
        name = None if recipe is None else recipe.name
        sha256 = None if recipe is None else recipe.model.sha256
        self.used = used_model(work, inference.model_path, sha256, name)

    def ready(self) -> ReadyModel:
        """Return the model, loaded and held against the request before any pixel is read."""
        if self._ready is None:
            self._ready = load(self._work, self.inference, self.used)
        return self._ready


def used_model(work: Work, href: str, sha256: str | None, recipe: str | None) -> UsedModel:
    """Return the model that a request means, known by its content; it is fetched if need be."""
    work.journal.report("search", f"Looking for the model {href}")
    file = resolve_model(href, sha256, ModelRegistry(work.settings.models), recipe)
    path = objects.local_path(href)
    return UsedModel(href if path is None else str(path), file.sha256, recipe)


def load(work: Work, inference: Inference, model: UsedModel) -> ReadyModel:
    """Load a model and hold it against the way it is to be run."""
    # Only predictions pay the seconds that torch takes to import.
    from landloom.raster.prediction import ready_model  # noqa: PLC0415

    work.journal.report("search", f"Loading the model {inference.model_path}")
    return ready_model(inference, model.sha256, model.recipe, work.settings.models)


def _make(work: Work, model: _ModelOnce, source: InputStore, number: int) -> Made:
    origin = prediction_origin(model.inference, model.used, source)
    uri = work.uri(f"prediction-{number}", ".zarr", origin)
    return keep(
        work,
        origin,
        uri,
        lambda: make_prediction(work, origin, uri, model.ready),
        number=number,
        catalogue=catalogue_of([], model.recipe),
        effort=lambda: _effort(source.uri, model.inference),
    )


def _effort(source: str, inference: Inference) -> Effort:
    store = CubeStore.open(source)
    return prediction_effort(patches_of(store.geobox, len(store.times), inference), inference)


def _foreseen(work: Work, model: _ModelOnce, wanted: WantedMosaic) -> bool:
    """Tell whether the prediction over a mosaic is there: it has an identity before pixels."""
    source = InputStore(wanted.uri, wanted.origin.digest)
    return remembered(work, prediction_origin(model.inference, model.used, source)) is not None
