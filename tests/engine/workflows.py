"""Workflows over the sample scenes, in this process: small ones, done in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from numpy.typing import NDArray
from shapely.geometry import box, mapping

from landloom.raster.settings import EngineSettings
from landloom.raster.workflow import run
from landloom.wire.progress import ProgressEvent
from landloom.wire.requests import (
    BuildAndPredictRecipe,
    BuildMosaics,
    VectorizeMosaic,
    WorkflowRequest,
)
from landloom.wire.results import WorkflowResult

SAMPLES = Path(__file__).parents[2] / "samples"

PLACE = mapping(box(13.11, 48.28, 13.12, 48.286))
"""Some 75 x 68 pixels with fields, within both sample scenes."""

WINDOW: dict[str, Any] = {"start": "2021-01-01", "end": "2022-01-01", "target_crs": 32633}


def engine(folder: Path, **more: Any) -> EngineSettings:
    """Return settings whose outputs, models and cache lie below a folder."""
    said: dict[str, Any] = {"workers": 2, "shard": 64, "cache": f"{folder}/out/cache/", **more}
    return EngineSettings(
        catalog=SAMPLES / "catalog.toml",
        models=folder / "models",
        output_uri=f"{folder}/out/",
        **said,
    )


def do(
    request: WorkflowRequest, settings: EngineSettings, seed: str
) -> tuple[WorkflowResult, list[ProgressEvent]]:
    """Run a workflow in a folder of its own; return what it made and what it told."""
    told: list[ProgressEvent] = []
    own = settings.writing_to(f"{settings.output_uri}{seed}/")
    return run(request, settings=own, seed=seed, show=told.append), told


def mosaic(**more: Any) -> BuildMosaics:
    return BuildMosaics(**{"datasets": ["SAMPLE_PLANTING"], "aoi": PLACE, **WINDOW, **more})


def fields(**more: Any) -> BuildAndPredictRecipe:
    said = {"model_recipe": "SAMPLE_FIELDS", "aoi": PLACE, **WINDOW, **more}
    return BuildAndPredictRecipe(**said)


def polygons(store: str, **more: Any) -> VectorizeMosaic:
    said = {"mosaic": store, "features": ["field"], "vectorize_config": {"stats": True}, **more}
    return VectorizeMosaic(**said)


def pixels(store: str) -> NDArray[Any]:
    """Return all values of a store."""
    values: NDArray[Any] = xr.open_zarr(store)["variables"].values
    return values
