"""The client's methods that run models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from landloom.wire.enums import (
    MergeModeEnum,
    ModelRecipes,
    MosaicToMosaicActorEnum,
    RuntimeEnum,
)
from rasterflow_remote.arguments import (
    member_name,
    pass_over,
    portable_aoi,
    renamed,
    required,
    store_uris,
)
from rasterflow_remote.calls import Caller
from rasterflow_remote.results import MosaicResult


class PredictionMethods(Caller):
    """Runs models over mosaics."""

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
        on_error: str = "raise",
        overviews: bool = False,
    ) -> MosaicResult:
        """Build the mosaics a recipe wants and run its model over them.

        Args:
            aoi: URL of a GeoParquet or GeoJSON file, or a GeoDataFrame in any CRS.
            start: Start of the time window.
            end: End of the time window, exclusive.
            model_recipe: The recipe.
            crs_epsg: EPSG code of the output; None is the imagery's own CRS, a UTM zone.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            target_crs: The newer name of `crs_epsg`.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
            on_error: What becomes of a raster that cannot be read: "raise" an error that names it,
                or "skip" it, counted in the result.
            overviews: Write overviews and statistics into the mosaics while they are built.
        """
        pass_over(envs)
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
            on_error=on_error,
            overviews=overviews,
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
        on_error: str = "raise",
        overviews: bool = False,
    ) -> MosaicResult:
        """Do what `build_and_predict_mosaic_recipe` does, under its name since June 2026."""
        target = renamed(
            "predict_mosaic_recipe", ("crs_epsg", crs_epsg), ("target_crs", target_crs)
        )
        return self.build_and_predict_mosaic_recipe(
            aoi,
            start,
            end,
            model_recipe,
            None,
            runtime,
            envs,
            target_crs=target,
            bucket=bucket,
            on_error=on_error,
            overviews=overviews,
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
            device: `cpu`, `cuda`, or one GPU of several, such as `cuda:1`.
            features: Bands of the mosaic in the order of the model's input channels.
            labels: Names of the model's output channels, in order.
            actor: What the model's outputs mean.
            max_batch_size: Patches in one forward pass, at most.
            merge_mode: How overlapping patches become one pixel.
            xy_block_multiplier: Accepted for compatibility: results and memory do not depend
                on the size of a block.
            store: The older name of `mosaics`.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        pass_over(envs)
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
