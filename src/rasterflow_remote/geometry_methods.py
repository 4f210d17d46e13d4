"""The client's methods that ask models for geometries by text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from landloom.wire.enums import GeometryModelRecipes, RuntimeEnum
from rasterflow_remote.arguments import (
    member_name,
    pass_over,
    portable_aoi,
    prompts,
    renamed,
    required,
    store_uris,
)
from rasterflow_remote.calls import Caller
from rasterflow_remote.results import UriResult


class GeometryMethods(Caller):
    """Finds what text prompts name."""

    def predict_mosaic_geometries(
        self,
        mosaics: Any = None,
        model_path: str | None = None,
        features: list[str] | None = None,
        text_prompt: str | list[str] | None = None,
        confidence_threshold: float = 0.5,
        output: str = "polygons",
        patch_size: int = 1008,
        clip_size: int = 126,
        device: str = "cpu",
        max_batch_size: int = 1,
        *,
        store: Any = None,
        target_crs: int = 4326,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> UriResult:
        """Ask a model for the geometries that text prompts name, over existing mosaics.

        Args:
            mosaics: A store URI, an index URI, an earlier result, or a list of these.
            model_path: URL or path of a `.pt2` file.
            features: Bands of the mosaic in the order of the model's input channels.
            text_prompt: What to look for: one prompt or several.
            confidence_threshold: Least score of a geometry, 0 to 1.
            output: `polygons` or `boxes`.
            patch_size: Side of the model's window, pixels.
            clip_size: Pixels at each side of a patch that belong to its neighbours.
            device: `cpu`, `cuda`, or one GPU of several, such as `cuda:1`.
            max_batch_size: Patches in one forward pass, at most.
            store: The older name of `mosaics`.
            target_crs: EPSG code of the geometries.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        pass_over(envs)
        method = "predict_mosaic_geometries"
        source = renamed(method, ("store", store), ("mosaics", mosaics))
        inference = {
            "model_path": required(method, "model_path", model_path),
            "features": required(method, "features", features),
            "text_prompt": prompts(required(method, "text_prompt", text_prompt)),
            "confidence_threshold": confidence_threshold,
            "output": output,
            "patch_size": patch_size,
            "clip_size": clip_size,
            "device": device,
            "max_batch_size": max_batch_size,
        }
        return self._uri(
            method,
            mosaics=store_uris(required(method, "mosaics", source)),
            inference=inference,
            target_crs=target_crs,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    def predict_mosaic_geometries_recipe(
        self,
        aoi: Any,
        start: datetime,
        end: datetime,
        target_crs: int | None = None,
        model_recipe: GeometryModelRecipes | str | None = None,
        text_prompt: str | list[str] | None = None,
        confidence_threshold: float | None = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
        *,
        crs_epsg: int | None = None,
        on_error: str = "raise",
        overviews: bool = False,
    ) -> UriResult:
        """Build the mosaics a geometry recipe wants and ask its model over them.

        Args:
            aoi: URL of a GeoParquet or GeoJSON file, or a GeoDataFrame in any CRS.
            start: Start of the time window.
            end: End of the time window, exclusive.
            target_crs: EPSG code of the mosaics; None is the imagery's own CRS. Geometries come in
                degrees (EPSG:4326).
            model_recipe: The recipe.
            text_prompt: What to look for: one prompt or several.
            confidence_threshold: Least score of a geometry; None is the recipe's own.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
            crs_epsg: The older name of `target_crs`.
            on_error: What becomes of a raster that cannot be read: "raise" an error that names it,
                or "skip" it, counted in the result.
            overviews: Write overviews and statistics into the mosaics while they are built.
        """
        pass_over(envs)
        method = "predict_mosaic_geometries_recipe"
        recipe = required(method, "model_recipe", model_recipe)
        return self._uri(
            method,
            aoi=portable_aoi(aoi),
            start=start,
            end=end,
            target_crs=renamed(method, ("crs_epsg", crs_epsg), ("target_crs", target_crs)),
            model_recipe=member_name(GeometryModelRecipes, recipe),
            text_prompt=prompts(required(method, "text_prompt", text_prompt)),
            confidence_threshold=confidence_threshold,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
            on_error=on_error,
            overviews=overviews,
        )

    run_geometry_inference_recipe = predict_mosaic_geometries_recipe
    """The name before June 2026."""
