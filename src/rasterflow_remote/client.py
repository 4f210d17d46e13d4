"""`RasterflowClient`: mosaics, predictions and polygons, one blocking call each.

The methods take the argument names of every generation of the public client. Whatever a script
calls them, one request of `landloom.wire` goes to the server or to the engine in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from landloom.errors import InvalidInput, LandloomError
from landloom.wire.enums import (
    DatasetEnum,
    MergeModeEnum,
    ModelRecipes,
    MosaicToMosaicActorEnum,
    RuntimeEnum,
    VectorizeMethodEnum,
)
from landloom.wire.plan import Plan
from landloom.wire.requests import WorkflowRequest, workflow_request
from landloom.wire.results import WorkflowResult
from rasterflow_remote.arguments import (
    member_name,
    portable_aoi,
    renamed,
    required,
    store_uris,
)
from rasterflow_remote.backend import choose_backend
from rasterflow_remote.progress import ProgressDisplay
from rasterflow_remote.results import MosaicResult, UriResult

_VERSION = "v2.12.2"


class RasterflowClient:
    """Builds mosaics, predicts and vectorizes, on a server or in this process.

    Every call blocks until the work is done, prints its progress, and raises a `LandloomError`
    that says what the engine said if it fails. Ctrl-C cancels the work.

    The version and domain arguments are those of the public client; any value is accepted, since
    one engine answers them all.
    """

    def __init__(
        self,
        rasterflow_version: str = _VERSION,
        rasterflow_domain: str | None = None,
        mosaics_version: str = "v1.3.4",
        mosaics_domain: str | None = None,
        zarr_multiscales_version: str = "v2.1.1",
        zarr_multiscales_domain: str | None = None,
        dry_run: bool = False,
        cache: bool = True,
    ) -> None:
        del rasterflow_version, rasterflow_domain, mosaics_version, mosaics_domain
        del zarr_multiscales_version, zarr_multiscales_domain
        self._dry_run = dry_run
        self._cache = cache
        self._backend = choose_backend()

    def build_mosaics(
        self,
        datasets: Iterable[DatasetEnum | str] | DatasetEnum | str,
        aoi: Any,
        start: datetime,
        end: datetime,
        target_crs: int | None = None,
        *,
        crs_epsg: int | None = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> MosaicResult:
        """Build one mosaic per AOI row, the bands of all `datasets` side by side.

        Args:
            datasets: What to build of, in band order.
            aoi: URL of a GeoParquet or GeoJSON file, or a GeoDataFrame in any CRS.
            start: Start of the time window.
            end: End of the time window, exclusive.
            target_crs: EPSG code of the mosaic; None is the imagery's own CRS, a UTM zone.
            crs_epsg: The older name of `target_crs`.
            runtime: How much of a machine the work may use.
            envs: Accepted for compatibility; workflows take no environment of the caller's.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        del envs
        chosen = [datasets] if isinstance(datasets, str) else list(datasets)
        target = renamed("build_mosaics", ("crs_epsg", crs_epsg), ("target_crs", target_crs))
        return self._mosaic(
            "build_mosaics",
            datasets=[member_name(DatasetEnum, name) for name in chosen],
            aoi=portable_aoi(aoi),
            start=start,
            end=end,
            target_crs=target,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    build_mosaic = build_mosaics
    """The name before June 2026."""

    def build_and_predict_mosaic_recipe(
        self,
        aoi: Any,
        start: datetime,
        end: datetime,
        model_recipe: ModelRecipes | str,
        crs_epsg: int | None = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        *,
        target_crs: int | None = None,
        bucket: str | None = None,
    ) -> MosaicResult:
        """Build the mosaics a recipe wants and run its model over them.

        Args:
            aoi: URL of a GeoParquet or GeoJSON file, or a GeoDataFrame in any CRS.
            start: Start of the time window.
            end: End of the time window, exclusive.
            model_recipe: The recipe.
            crs_epsg: EPSG code of the output; None is the imagery's own CRS, a UTM zone.
            runtime: How much of a machine the work may use.
            envs: Accepted for compatibility; workflows take no environment of the caller's.
            target_crs: The newer name of `crs_epsg`.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        del envs
        method = "build_and_predict_mosaic_recipe"
        return self._mosaic(
            method,
            aoi=portable_aoi(aoi),
            start=start,
            end=end,
            target_crs=renamed(method, ("crs_epsg", crs_epsg), ("target_crs", target_crs)),
            model_recipe=member_name(ModelRecipes, model_recipe),
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    def predict_mosaic_recipe(
        self,
        aoi: Any,
        start: datetime,
        end: datetime,
        model_recipe: ModelRecipes | str,
        target_crs: int | None = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
        *,
        crs_epsg: int | None = None,
    ) -> MosaicResult:
        """Do what `build_and_predict_mosaic_recipe` does, under its name since June 2026."""
        target = renamed(
            "predict_mosaic_recipe", ("crs_epsg", crs_epsg), ("target_crs", target_crs)
        )
        return self.build_and_predict_mosaic_recipe(
            aoi, start, end, model_recipe, None, runtime, envs, target_crs=target, bucket=bucket
        )

    def predict_mosaic(
        self,
        mosaics: Any = None,
        model_path: str | None = None,
        patch_size: int | None = None,
        clip_size: int | None = None,
        device: str = "cpu",
        features: list[str] | None = None,
        labels: list[str] | None = None,
        actor: MosaicToMosaicActorEnum | str = (
            MosaicToMosaicActorEnum.SEMANTIC_SEGMENTATION_PYTORCH
        ),
        max_batch_size: int = 8,
        merge_mode: MergeModeEnum | str = MergeModeEnum.WEIGHTED_AVERAGE,
        xy_block_multiplier: int = 4,
        *,
        store: Any = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> MosaicResult:
        """Run a model over existing mosaics.

        Args:
            mosaics: A store URI, an index URI, an earlier result, or a list of these.
            model_path: URL or path of a `.pt2` file.
            patch_size: Side of the model's window, pixels.
            clip_size: Pixels at each side of a patch that are down-weighted or dropped.
            device: `cpu` or `cuda`.
            features: Bands of the mosaic in the order of the model's input channels.
            labels: Names of the model's output channels, in order.
            actor: What the model's outputs mean.
            max_batch_size: Patches in one forward pass, at most.
            merge_mode: How overlapping patches become one pixel.
            xy_block_multiplier: Accepted for compatibility: results and memory do not depend
                on the size of a block.
            store: The older name of `mosaics`.
            runtime: How much of a machine the work may use.
            envs: Accepted for compatibility; workflows take no environment of the caller's.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        del envs
        method = "predict_mosaic"
        source = renamed(method, ("store", store), ("mosaics", mosaics))
        inference = {
            "model_path": required(method, "model_path", model_path),
            "patch_size": required(method, "patch_size", patch_size),
            "clip_size": required(method, "clip_size", clip_size),
            "features": required(method, "features", features),
            "labels": required(method, "labels", labels),
            "device": device,
            "actor": MosaicToMosaicActorEnum.parse(actor),
            "max_batch_size": max_batch_size,
            "merge_mode": MergeModeEnum.parse(merge_mode),
        }
        return self._mosaic(
            method,
            mosaics=store_uris(required(method, "mosaics", source)),
            inference=inference,
            xy_block_multiplier=xy_block_multiplier,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    def vectorize_mosaic(
        self,
        mosaic: Any = None,
        features: list[str] | None = None,
        threshold: float = 0.5,
        vectorize_method: VectorizeMethodEnum | str = (
            VectorizeMethodEnum.SEMANTIC_SEGMENTATION_RASTERIO
        ),
        vectorize_config: Mapping[str, Any] | None = None,
        *,
        store: Any = None,
        target_crs: int = 4326,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> UriResult:
        """Turn a prediction into polygons.

        Args:
            mosaic: A store URI or the result of a prediction.
            features: Bands to make polygons of, each apart.
            threshold: Smallest probability that counts, above 0 and at most 1.
            vectorize_method: How polygons are made.
            vectorize_config: Options, such as `{"stats": True}`.
            store: The older name of `mosaic`.
            target_crs: EPSG code of the polygons.
            runtime: How much of a machine the work may use.
            envs: Accepted for compatibility; workflows take no environment of the caller's.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        del envs
        method = "vectorize_mosaic"
        source = required(method, "mosaic", renamed(method, ("store", store), ("mosaic", mosaic)))
        result = self._run(
            method,
            mosaic=store_uris(source)[0],
            features=required(method, "features", features),
            threshold=threshold,
            vectorize_method=VectorizeMethodEnum.parse(vectorize_method),
            vectorize_config=dict(vectorize_config or {}),
            target_crs=target_crs,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )
        return UriResult(result, self._backend.url)

    def _mosaic(self, kind: str, **fields: Any) -> MosaicResult:
        return MosaicResult(self._run(kind, **fields))

    def _run(self, kind: str, **fields: Any) -> WorkflowResult:
        given = {"kind": kind, "cache": self._cache, "dry_run": self._dry_run, **fields}
        request = _validated(given)
        with ProgressDisplay(kind) as display:
            try:
                identity, result = self._backend.run(request, display.show)
            except LandloomError:
                display.finish("-", "FAILED")
                raise
        if result.plan is not None:
            _print_plan(result.plan)
        display.finish(identity, "COMPLETED")
        return result


def _validated(given: dict[str, Any]) -> WorkflowRequest:
    try:
        return workflow_request.validate_python(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        # The first part of `loc` is the kind that discriminates the union, no argument of theirs.
        field = ".".join(str(part) for part in first["loc"][1:])
        raise InvalidInput(f"{given['kind']}: {field or 'request'}: {first['msg']}.") from problem


def _print_plan(plan: Plan) -> None:
    for number, mosaic in enumerate(plan.mosaics):
        height, width = mosaic.shape_yx
        scenes = ", ".join(f"{name} {count} scenes" for name, count in mosaic.scenes.items())
        print(  # noqa: T201 - a dry run prints its plan
            f"[rasterflow] plan: mosaic {number}: {mosaic.crs}, {height} x {width} px of"
            f" {mosaic.resolution:g}, {mosaic.tiles} tiles; {scenes}"
        )
    if plan.model:
        print(  # noqa: T201 - as above
            f"[rasterflow] plan: model {plan.model}, {plan.patches} patches"
        )
