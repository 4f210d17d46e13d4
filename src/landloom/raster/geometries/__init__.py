"""Models that answer text prompts with geometries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.journal import Report
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
    """Write what the model finds as a GeoParquet folder; return its URI and the count."""
    raise NotImplementedError
