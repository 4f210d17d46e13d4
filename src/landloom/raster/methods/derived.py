"""What is made of stores that are there: polygons, change, multiscales."""

from __future__ import annotations

from shapely.geometry import box

from landloom.raster.change import change_mosaics
from landloom.raster.methods.work import Work, stores_of
from landloom.raster.multiscales import build_multiscales
from landloom.raster.store.index import write_index
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectorize.mosaic import vectorize_mosaic
from landloom.wire.plan import Plan
from landloom.wire.requests import BuildZarrMultiscales, RunMosaicsChange, VectorizeMosaic
from landloom.wire.results import WorkflowResult


def vectorize(work: Work, request: VectorizeMosaic) -> WorkflowResult:
    """Turn a prediction into polygons."""
    config = VectorizeConfig.parse(request.vectorize_config, request.features, request.threshold)
    source = CubeStore.open(stores_of([request.mosaic])[0])
    if request.dry_run:
        return WorkflowResult(plan=Plan())
    uri, count = vectorize_mosaic(
        source,
        config,
        work.uri("polygons", ".parquet"),
        request.target_crs,
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
    )
    work.journal.report("publish", f"{count} polygons at {uri}")
    return WorkflowResult(uri=uri, count=count)


def change(work: Work, request: RunMosaicsChange) -> WorkflowResult:
    """Subtract each time step from the next one."""
    sources = [CubeStore.open(uri) for uri in stores_of(request.mosaics)]
    if request.dry_run:
        return WorkflowResult(plan=Plan())
    row = change_mosaics(
        sources,
        request.features,
        work.uri("change", ".zarr"),
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
    )
    work.journal.report("publish", f"Change at {row.location}")
    index = work.uri("index", ".parquet")
    write_index(index, [row], [box(*row.bbox)])
    return WorkflowResult(mosaics=[row], index_uri=index)


def multiscales(work: Work, request: BuildZarrMultiscales) -> WorkflowResult:
    """Copy a store into one with overviews and statistics."""
    source = CubeStore.open(stores_of([request.source_store])[0])
    if request.dry_run:
        return WorkflowResult(plan=Plan())
    uri = build_multiscales(
        source,
        work.uri("multiscales", ".zarr"),
        executor=work.executor,
        report=work.journal.report,
        cancelled=work.cancelled,
    )
    work.journal.report("publish", f"Multiscales at {uri}")
    return WorkflowResult(uri=uri)
