"""Raster workflow requests: what `POST /rasterflow/runs` takes and the engine runs.

Datasets and recipes are plain names here: an operator's catalogue may hold more than the enums do,
and only the engine knows the catalogue.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from landloom.wire.enums import (
    MergeModeEnum,
    MosaicToMosaicActorEnum,
    RuntimeEnum,
    VectorizeMethodEnum,
)
from landloom.wire.model import WireModel

Aoi = str | dict[str, Any]
"""Where to work: the URL of a GeoParquet or GeoJSON file, or a GeoJSON object in EPSG:4326."""


class _Request(WireModel):
    """What every workflow request may say."""

    runtime: RuntimeEnum = RuntimeEnum.SMALL
    bucket: str | None = None
    """`s3://bucket/prefix` for the outputs; None is the caller's own temporary folder."""
    cache: bool = True
    dry_run: bool = False


class _Window(_Request):
    """A request that looks for imagery in a place and a time."""

    aoi: Aoi
    start: datetime
    end: datetime
    """End of the window, exclusive."""
    target_crs: int | None = None
    """EPSG code of the output; None is the native CRS of the imagery at the AOI (a UTM zone)."""

    @field_validator("start", "end")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError(
                f"end ({self.end:%Y-%m-%d}) must lie after start ({self.start:%Y-%m-%d})"
            )
        return self


class BuildMosaics(_Window):
    """Build one mosaic per AOI row, the bands of all datasets side by side."""

    kind: Literal["build_mosaics"] = "build_mosaics"
    datasets: Annotated[list[str], Field(min_length=1)]


class BuildAndPredictRecipe(_Window):
    """Build the mosaics a recipe wants and run its model over them."""

    kind: Literal["build_and_predict_mosaic_recipe"] = "build_and_predict_mosaic_recipe"
    model_recipe: str


class Inference(WireModel):
    """How to run a model: the fields of the public `InferenceConfig`."""

    model_path: Annotated[str, Field(pattern=r"\.pt2$")]
    actor: MosaicToMosaicActorEnum = MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_PYTORCH
    patch_size: Annotated[int, Field(ge=8, le=8192)]
    clip_size: Annotated[int, Field(ge=0)]
    device: str = "cpu"
    features: Annotated[list[str], Field(min_length=1)]
    labels: Annotated[list[str], Field(min_length=1)]
    max_batch_size: Annotated[int, Field(ge=1)] = 8
    merge_mode: MergeModeEnum = MergeModeEnum.WEIGHTED_AVERAGE

    @model_validator(mode="after")
    def _clip_leaves_a_core(self) -> Self:
        if 2 * self.clip_size >= self.patch_size:
            raise ValueError(
                f"clip_size {self.clip_size} leaves nothing of a patch of {self.patch_size} px:"
                " it must be less than half of patch_size"
            )
        return self


class PredictMosaic(_Request):
    """Run a model over existing mosaics."""

    kind: Literal["predict_mosaic"] = "predict_mosaic"
    mosaics: Annotated[list[str], Field(min_length=1)]
    """Store URIs, or one index URI (`.parquet`)."""
    inference: Inference
    xy_block_multiplier: Annotated[int, Field(ge=1)] = 4


class VectorizeMosaic(_Request):
    """Turn a prediction into polygons."""

    kind: Literal["vectorize_mosaic"] = "vectorize_mosaic"
    mosaic: str
    features: Annotated[list[str], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    vectorize_method: VectorizeMethodEnum = VectorizeMethodEnum.SEMANTIC_SEGMENTATION_RASTERIO
    vectorize_config: dict[str, Any] = {}
    target_crs: int = 4326
    """EPSG code of the polygons."""


WorkflowRequest = Annotated[
    BuildMosaics | BuildAndPredictRecipe | PredictMosaic | VectorizeMosaic,
    Field(discriminator="kind"),
]
"""Any raster workflow, told apart by `kind`."""

workflow_request: TypeAdapter[WorkflowRequest] = TypeAdapter(WorkflowRequest)
"""Validates and serializes `WorkflowRequest`."""
