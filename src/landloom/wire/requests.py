"""Raster workflow requests: what `POST /rasterflow/runs` takes and the engine runs.

Datasets and recipes are plain names here: an operator's catalogue may hold more than the enums do,
and only the engine knows the catalogue.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from landloom.wire.device import device_name
from landloom.wire.enums import (
    MergeModeEnum,
    MosaicToMosaicActorEnum,
    ResamplingMethod,
    RuntimeEnum,
    VectorizeMethodEnum,
)
from landloom.wire.freeform import AnyNumber, FreeForm, distinct, plain_object
from landloom.wire.model import WireModel

Aoi = Annotated[str | dict[str, Any], BeforeValidator(plain_object)]
"""Where to work: the URL of a GeoParquet or GeoJSON file, or a GeoJSON object. It is in EPSG:4326
unless it has the `crs` member of GeoJSON of 2008."""

Labels = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
"""Names of the bands of an output."""

Device = Annotated[str, AfterValidator(device_name)]
"""Where a model runs: `cpu`, `cuda`, or one CUDA device of several, such as `cuda:1`."""

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""Bounds of a window's start and end."""


class _Request(WireModel):
    """What every workflow request may say."""

    runtime: RuntimeEnum = RuntimeEnum.SMALL
    bucket: str | None = None
    """`s3://bucket/prefix` for the outputs; None is the caller's own temporary folder."""
    cache: bool = True
    dry_run: bool = False


class _Mosaics(_Request):
    """A request that builds mosaics."""

    on_error: Literal["raise", "skip"] = "raise"
    """What becomes of a raster that cannot be read after all retries: an error that names it, or a
    counted skip."""
    overviews: bool = False
    """Whether overviews and statistics are written into the mosaic while it is built."""


class _Window(_Mosaics):
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
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise ValueError(
                f"the year {value.year} is none of imagery: give one from {FIRST_YEAR} to"
                f" {LAST_YEAR}; each year of the window is searched and becomes a time step"
            )
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
    datasets: Labels


class BuildGtiMosaics(_Mosaics):
    """Build mosaics of the caller's own rasters, listed in a GeoParquet tile index.

    The index is of the kind that GDAL calls GTI: one row a raster, all with the same bands in the
    same order. Where rasters overlap, the later one is on top.
    """

    kind: Literal["build_gti_mosaics"] = "build_gti_mosaics"
    gti: str
    """URL of the index."""
    aoi: Aoi
    bands: Labels
    """Labels of the output, one for each band of the rasters, by position."""
    location_field: str = "location"
    """Column with each raster's URL."""
    time_column: str | None = None
    """Column of timestamps or years; each distinct value is a time step. None is one step."""
    target_crs: int | None = None
    """EPSG code of the output; None is the CRS of the first raster in the AOI."""
    resolution: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Pixel size in units of the output's CRS; None is that of the first raster in the AOI."""
    xy_chunksize: Annotated[int, Field(ge=16, le=8192)] | None = None
    """Pixels a side of an inner chunk; None is the engine's own choice."""
    query: str | None = None
    """Which rows count: comparisons of columns, such as `res == .6 and year >= 2020`."""
    requester_pays: bool = False
    sort_field: str | None = None
    """Column by which rasters are drawn: greater values on top. None is the order of the rows."""
    resampling: ResamplingMethod = ResamplingMethod.NEAREST
    nodata: AnyNumber = None
    """Value of pixels without data; None leaves it to the rasters."""


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
    device: Device = "cpu"
    features: Annotated[list[str], Field(min_length=1)]
    labels: Labels
    max_batch_size: Annotated[int, Field(ge=1)] = 8
    merge_mode: MergeModeEnum = MergeModeEnum.WEIGHTED_AVERAGE

    @model_validator(mode="after")
    def _clip_leaves_a_core(self) -> Self:
        _check_core(self.patch_size, self.clip_size)
        return self


class PredictMosaic(_Request):
    """Run a model over existing mosaics."""

    kind: Literal["predict_mosaic"] = "predict_mosaic"
    mosaics: Annotated[list[str], Field(min_length=1)]
    """Store URIs, or one index URI (`.parquet`)."""
    inference: Inference
    xy_block_multiplier: Annotated[int, Field(ge=1)] = 4


class GeometryInference(WireModel):
    """How to run a model that answers text prompts with geometries."""

    model_path: Annotated[str, Field(pattern=r"\.pt2$")]
    features: Annotated[list[str], Field(min_length=1)]
    """Bands of the mosaic in the order of the model's input channels."""
    text_prompt: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least score of a geometry."""
    output: Literal["polygons", "boxes"] = "polygons"
    patch_size: Annotated[int, Field(ge=8, le=8192)] = 1008
    clip_size: Annotated[int, Field(ge=0)] = 126
    device: Device = "cpu"
    max_batch_size: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _clip_leaves_a_core(self) -> Self:
        _check_core(self.patch_size, self.clip_size)
        return self


class PredictGeometries(_Request):
    """Ask a model for the geometries that text prompts name, over existing mosaics."""

    kind: Literal["predict_mosaic_geometries"] = "predict_mosaic_geometries"
    mosaics: Annotated[list[str], Field(min_length=1)]
    """Store URIs, or one index URI (`.parquet`)."""
    inference: GeometryInference
    target_crs: int = 4326
    """EPSG code of the geometries."""


class PredictGeometriesRecipe(_Window):
    """Build the mosaics a geometry recipe wants and ask its model over them."""

    kind: Literal["predict_mosaic_geometries_recipe"] = "predict_mosaic_geometries_recipe"
    model_recipe: str
    text_prompt: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """None is the recipe's own."""


class RunMosaicsChange(_Request):
    """Subtract each time step of mosaics of one grid from the next one."""

    kind: Literal["run_mosaics_change"] = "run_mosaics_change"
    mosaics: Annotated[list[str], Field(min_length=1)]
    """Store URIs, or one index URI (`.parquet`)."""
    features: Labels | None = None
    """Bands to compare; None is every band."""


class BuildZarrMultiscales(_Request):
    """Copy a georeferenced Zarr store into one with overviews and statistics."""

    kind: Literal["build_zarr_multiscales"] = "build_zarr_multiscales"
    source_store: str


class VectorizeMosaic(_Request):
    """Turn a prediction into polygons."""

    kind: Literal["vectorize_mosaic"] = "vectorize_mosaic"
    mosaic: str
    features: Annotated[list[str], Field(min_length=1)]
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    vectorize_method: VectorizeMethodEnum = VectorizeMethodEnum.SEMANTIC_SEGMENTATION_RASTERIO
    vectorize_config: FreeForm = {}
    target_crs: int = 4326
    """EPSG code of the polygons."""


WorkflowRequest = Annotated[
    BuildMosaics
    | BuildGtiMosaics
    | BuildAndPredictRecipe
    | PredictMosaic
    | PredictGeometries
    | PredictGeometriesRecipe
    | RunMosaicsChange
    | VectorizeMosaic
    | BuildZarrMultiscales,
    Field(discriminator="kind"),
]
"""Any raster workflow, told apart by `kind`."""

workflow_request: TypeAdapter[WorkflowRequest] = TypeAdapter(WorkflowRequest)
"""Validates and serializes `WorkflowRequest`."""


def _check_core(patch_size: int, clip_size: int) -> None:
    if 2 * clip_size >= patch_size:
        raise ValueError(
            f"clip_size {clip_size} leaves nothing of a patch of {patch_size} px:"
            " it must be less than half of patch_size"
        )
