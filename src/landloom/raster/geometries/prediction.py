"""Text prompts answered by a `.pt2` geometry model over mosaics; this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.geometries.exported import open_geometry_model
from landloom.raster.geometries.mosaic import find_geometries
from landloom.raster.journal import Report
from landloom.raster.models.registry import ModelFile, ModelRegistry
from landloom.raster.models.resolve import resolve_model
from landloom.raster.store.zarr import CubeStore
from landloom.wire.requests import GeometryInference


def predict_geometries(  # noqa: PLR0913 - all that the answer depends on
    sources: Sequence[CubeStore],
    inference: GeometryInference,
    output_uri: str,
    *,
    models: Path,
    executor: Executor,
    report: Report,
    cancelled: AskCancelled,
    target_crs: int = 4326,
    sha256: str | None = None,
    recipe: str | None = None,
) -> tuple[str, int]:
    """Write what a `.pt2` geometry model finds in mosaics as a GeoParquet folder.

    Columns: geometry, time, label (the prompt), bbox, bbox_score; see `find_geometries`.

    Args:
        sources: Mosaics; their bands include `inference.features`.
        inference: The model, prompts, patches, least score, and what is written.
        output_uri: Folder to write, by convention ending in `.parquet`.
        models: Folder of registered and downloaded model files.
        executor: Runs the work.
        report: Is told how far it has come.
        cancelled: Asked before each batch.
        target_crs: EPSG code of the geometries.
        sha256: The checksum that the catalogue knows; None where nobody has seen the file.
        recipe: The recipe that asks, if one does.

    Returns:
        The folder's URI and how many geometries are in it.

    Raises:
        ModelUnavailable: The model is not here and cannot be fetched.
        ModelRejected: It cannot be used, or does not fit the request.
        InvalidInput: A prompt cannot be put to it, a source lacks a feature, or there is no such
            CRS.
        StoreProblem: Reading or writing failed.
        Cancelled: `cancelled` said so; finished pieces are kept for the next start.
    """
    file = check_geometry_model(inference, models, report, sha256, recipe)
    return find_geometries(
        sources,
        inference,
        partial(open_geometry_model, file, inference),
        output_uri,
        identity=file.sha256,
        executor=executor,
        report=report,
        cancelled=cancelled,
        target_crs=target_crs,
    )


def check_geometry_model(
    inference: GeometryInference,
    models: Path,
    report: Report,
    sha256: str | None = None,
    recipe: str | None = None,
) -> ModelFile:
    """Fetch a geometry model and hold it against the request; no pixel is read.

    Raises:
        ModelUnavailable: It is not here and cannot be fetched.
        ModelRejected: It cannot be used, or does not fit the request.
        InvalidInput: A prompt cannot be put to it.
    """
    report("search", f"Loading the model {inference.model_path}")
    file = resolve_model(inference.model_path, sha256, ModelRegistry(models), recipe)
    for note in open_geometry_model(file, inference).notes:
        report("predict", note)
    return file
