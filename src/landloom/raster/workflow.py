"""One workflow from request to result: the engine's front door.

Server (through `worker`), client (in process) and command line all come in here. Outputs have
names that follow from the workflow's seed, so a workflow that is started again finds what it had
finished and goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shapely.geometry import box

from landloom.errors import Cancelled
from landloom.raster.aoi import AoiRow, read_aoi
from landloom.raster.catalog import Catalog, Dataset, load_catalog
from landloom.raster.execute.base import Executor
from landloom.raster.execute.local import LocalExecutor
from landloom.raster.grid import tile_count
from landloom.raster.journal import Journal
from landloom.raster.memory import return_free_memory
from landloom.raster.mosaic.build import Sizes, build_mosaic, plan_mosaic
from landloom.raster.settings import EngineSettings
from landloom.raster.store.index import read_index, write_index
from landloom.raster.store.layout import crs_of
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic
from landloom.wire.plan import Plan, PlannedMosaic
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildMosaics,
    Inference,
    PredictMosaic,
    VectorizeMosaic,
    WorkflowRequest,
)
from landloom.wire.results import MosaicRow, WorkflowResult

if TYPE_CHECKING:
    from landloom.raster.prediction import ReadyModel

type WindowRequest = BuildMosaics | BuildAndPredictRecipe
"""Requests that look for imagery in a place and a time."""


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
    if request.bucket:
        settings = settings.writing_to(_below(request.bucket, seed))
    with closing(LocalExecutor(settings.workers)) as executor:
        work = _Workflow(settings, seed, Journal(show), cancelled, executor)
        result = work.run(request)
    return result.model_copy(update={"warnings": work.journal.warnings})


@dataclass(frozen=True, slots=True)
class _Workflow:
    """What the steps of one workflow share."""

    settings: EngineSettings
    seed: str
    journal: Journal
    cancelled: Callable[[], bool]
    executor: Executor

    def run(self, request: WorkflowRequest) -> WorkflowResult:
        if self.cancelled():
            raise Cancelled("The workflow was cancelled before it began.")
        match request:
            case BuildMosaics():
                return self._build(request)
            case BuildAndPredictRecipe():
                return self._recipe(request)
            case PredictMosaic():
                return self._predict(request)
            case VectorizeMosaic():
                return self._vectorize(request)

    def _build(self, request: BuildMosaics) -> WorkflowResult:
        catalog = self._catalog()
        datasets = [catalog.dataset(name) for name in request.datasets]
        aoi = read_aoi(request.aoi)
        if request.dry_run:
            return WorkflowResult(plan=self._plan(request, datasets, aoi))
        rows = self._mosaics(request, datasets, aoi)
        return WorkflowResult(mosaics=rows, index_uri=self._index(request, datasets, aoi, rows))

    def _recipe(self, request: BuildAndPredictRecipe) -> WorkflowResult:
        catalog = self._catalog()
        recipe = catalog.recipe(request.model_recipe)
        datasets = [catalog.dataset(name) for name in recipe.datasets]
        aoi = read_aoi(request.aoi)
        if request.dry_run:
            plan = self._plan(request, datasets, aoi)
            return WorkflowResult(plan=plan.model_copy(update={"model": recipe.model.href}))
        if recipe.name != request.model_recipe.upper():
            self.journal.report(
                "search", f"Recipe {request.model_recipe} is answered by {recipe.name} here"
            )
        # The model first: one that is missing or wrong must be told before hours of mosaicking.
        model = self._model(recipe.inference, recipe.model.sha256, recipe.name)
        inputs = self._mosaics(request, datasets, aoi)
        rows = self._predictions(model, [row.location for row in inputs])
        index = self._index(request, datasets, aoi, rows)
        return WorkflowResult(mosaics=rows, index_uri=index, inputs=inputs)

    def _predict(self, request: PredictMosaic) -> WorkflowResult:
        sources = _stores(request.mosaics)
        if request.dry_run:
            return WorkflowResult(plan=Plan(model=request.inference.model_path))
        rows = self._predictions(self._model(request.inference), sources)
        uri = self._uri("index", ".parquet")
        write_index(uri, rows, [box(*row.bbox) for row in rows])
        return WorkflowResult(mosaics=rows, index_uri=uri)

    def _vectorize(self, request: VectorizeMosaic) -> WorkflowResult:
        config = VectorizeConfig.parse(
            request.vectorize_config, request.features, request.threshold
        )
        source = CubeStore.open(_stores([request.mosaic])[0])
        if request.dry_run:
            return WorkflowResult(plan=Plan())
        uri, count = vectorize_mosaic(
            source,
            config,
            self._uri("polygons", ".parquet"),
            request.target_crs,
            executor=self.executor,
            report=self.journal.report,
            cancelled=self.cancelled,
        )
        self.journal.report("publish", f"{count} polygons at {uri}")
        return WorkflowResult(uri=uri, count=count)

    def _mosaics(
        self, request: WindowRequest, datasets: Sequence[Dataset], aoi: Sequence[AoiRow]
    ) -> list[MosaicRow]:
        rows = []
        for number, row in enumerate(aoi):
            made = build_mosaic(
                datasets,
                row,
                request.start,
                request.end,
                request.target_crs,
                self._uri(f"mosaic-{number}", ".zarr"),
                self.executor,
                self.journal.report,
                self.cancelled,
                warn=self.journal.warn,
                sizes=_sizes(self.settings.shard),
            )
            return_free_memory()
            self.journal.report("publish", f"Mosaic at {made.location}")
            rows.append(made)
        return rows

    def _model(
        self, inference: Inference, sha256: str | None = None, recipe: str | None = None
    ) -> ReadyModel:
        """Return the model, fetched and held against the request before any pixel is read."""
        # Only predictions pay the seconds that torch takes to import.
        from landloom.raster.prediction import ready_model  # noqa: PLC0415

        self.journal.report("search", f"Loading the model {inference.model_path}")
        return ready_model(inference, sha256, recipe, self.settings.models)

    def _predictions(self, model: ReadyModel, stores: Sequence[str]) -> list[MosaicRow]:
        rows = []
        for number, store in enumerate(stores):
            uri = self._uri(f"prediction-{number}", ".zarr")
            made = model.predict(CubeStore.open(store), uri, self.journal.report, self.cancelled)
            self.journal.report("publish", f"Prediction at {made.location}")
            rows.append(made)
        return rows

    def _index(
        self,
        request: WindowRequest,
        datasets: Sequence[Dataset],
        aoi: Sequence[AoiRow],
        rows: Sequence[MosaicRow],
    ) -> str:
        uri = self._uri("index", ".parquet")
        write_index(
            uri,
            rows,
            [row.geometry for row in aoi],
            datasets=[dataset.name for dataset in datasets],
            start=request.start,
            end=request.end,
        )
        return uri

    def _plan(
        self, request: WindowRequest, datasets: Sequence[Dataset], aoi: Sequence[AoiRow]
    ) -> Plan:
        planned = []
        for row in aoi:
            plan = plan_mosaic(datasets, row, request.start, request.end, request.target_crs)
            height, width = (int(side) for side in plan.geobox.shape)
            planned.append(
                PlannedMosaic(
                    crs=f"EPSG:{crs_of(plan.geobox).to_epsg()}",
                    shape_yx=(height, width),
                    resolution=float(plan.geobox.affine.a),
                    scenes=plan.scenes,
                    tiles=tile_count((height, width), self.settings.shard),
                )
            )
        return Plan(mosaics=planned)

    def _catalog(self) -> Catalog:
        return load_catalog(self.settings.catalog)

    def _uri(self, what: str, suffix: str) -> str:
        """Return where an output goes: a name of 12 hex digits that follows from the seed."""
        digest = hashlib.sha256(f"{self.seed}/{what}".encode()).hexdigest()
        return f"{self.settings.output_uri}{digest[:12]}{suffix}"


def _sizes(shard: int) -> Sizes:
    """Return sizes for a shard, which may be smaller than the usual pieces of one."""
    usual = Sizes()
    return Sizes(shard, min(usual.subtile, shard), min(usual.chunk, shard))


def _stores(given: Sequence[str]) -> list[str]:
    """Return store URIs; an index (`.parquet`) stands for the stores in it."""
    stores: list[str] = []
    for uri in given:
        if uri.rstrip("/").endswith(".parquet"):
            stores += [row.location for row in read_index(uri)]
        else:
            stores.append(uri)
    return stores


def _below(bucket: str, seed: str) -> str:
    """Return the folder for the outputs of one workflow below what the caller named."""
    root = bucket if "://" in bucket or bucket.startswith("/") else f"s3://{bucket}"
    return f"{root.rstrip('/')}/{seed}/"
