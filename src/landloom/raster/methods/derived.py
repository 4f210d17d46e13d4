"""What is made of stores that are there: polygons, change, multiscales."""

from __future__ import annotations

from shapely.geometry import box

from landloom.raster.change import check_change
from landloom.raster.made import Made
from landloom.raster.methods.keeping import keep, keep_index, rows_of
from landloom.raster.methods.making import (
    change_origin,
    make_change,
    make_multiscales,
    make_polygons,
    multiscales_origin,
    polygons_origin,
)
from landloom.raster.methods.mosaics import result_of
from landloom.raster.methods.plans import plan_over
from landloom.raster.methods.work import Work, one_store, stores_of
from landloom.raster.plan.effort import cube_effort
from landloom.raster.provenance import identify
from landloom.raster.store import objects
from landloom.raster.store.zarr import CubeStore
from landloom.raster.vectorize.config import VectorizeConfig
from landloom.raster.vectortiles.place import tiles_uri
from landloom.wire.requests import BuildZarrMultiscales, RunMosaicsChange, VectorizeMosaic
from landloom.wire.results import WorkflowResult


def vectorize(work: Work, request: VectorizeMosaic) -> WorkflowResult:
    """Turn a prediction into polygons."""
    # A wrong word in the request is told before anything is opened.
    config = VectorizeConfig.parse(request.vectorize_config, request.features, request.threshold)
    source = CubeStore.open(one_store(work, request.mosaic))
    source.require_bands(request.features, "features")
    if request.dry_run:
        from landloom.raster.vectorize.project import output_crs  # noqa: PLC0415 - Arrow

        output_crs(request.target_crs)
        bands = len(request.features)
        return WorkflowResult(plan=plan_over(work, [source], "polygons", bands=bands))
    said = request.model_dump(
        mode="json", include={"features", "threshold", "vectorize_config", "target_crs"}
    )
    origin = polygons_origin(said, identify(source.uri))
    uri = work.uri("polygons", ".parquet", origin)
    layers = len(request.features) * len(source.times)
    made = keep(
        work,
        origin,
        uri,
        lambda: make_polygons(work, origin, uri),
        effort=lambda: cube_effort("polygons", source.shape_yx, layers),
    )
    tiles = _tiles_of(work, made) if config.pmtiles else None
    return WorkflowResult(uri=made.uri, count=made.count, pmtiles_uri=tiles, cached=made.cached)


def _tiles_of(work: Work, made: Made) -> str:
    """Return where the vector tiles of polygons lie; the cache looks after the polygons alone."""
    uri = tiles_uri(made.uri)
    if not objects.exists(uri):
        # Arrow and all that makes tiles are nothing that pixels need.
        from landloom.raster.vectorize.tiles import write_tiles  # noqa: PLC0415

        work.journal.report("publish", "Making vector tiles again: they are gone")
        write_tiles(made.uri)
    work.journal.report("publish", f"Vector tiles at {uri}")
    return uri


def change(work: Work, request: RunMosaicsChange) -> WorkflowResult:
    """Subtract each time step from the next one."""
    sources = [CubeStore.open(uri) for uri in stores_of(request.mosaics)]
    check_change(sources, request.features)
    if request.dry_run:
        bands = None if request.features is None else len(request.features)
        return WorkflowResult(plan=plan_over(work, sources, "change", bands=bands))
    origin = change_origin(request.features, [identify(each.uri) for each in sources])
    layers = sum(len(request.features or each.bands) * len(each.times) for each in sources)
    uri = work.uri("change", ".zarr", origin)
    made = keep(
        work,
        origin,
        uri,
        lambda: make_change(work, origin, uri),
        effort=lambda: cube_effort("change", sources[0].shape_yx, layers),
    )
    rows = rows_of([made])
    return result_of([made], keep_index(work, rows, [box(*row.bbox) for row in rows]))


def multiscales(work: Work, request: BuildZarrMultiscales) -> WorkflowResult:
    """Copy a store into one with overviews and statistics."""
    source = CubeStore.open(one_store(work, request.source_store))
    if request.dry_run:
        return WorkflowResult(plan=plan_over(work, [source], "multiscales"))
    origin = multiscales_origin(identify(source.uri))
    uri = work.uri("multiscales", ".zarr", origin)
    layers = len(source.bands) * len(source.times)
    made = keep(
        work,
        origin,
        uri,
        lambda: make_multiscales(work, origin, uri),
        effort=lambda: cube_effort("multiscales", source.shape_yx, layers),
    )
    return WorkflowResult(uri=made.uri, cached=made.cached)
