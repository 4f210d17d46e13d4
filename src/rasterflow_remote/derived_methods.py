"""The client's methods that make something of stores: polygons, change, multiscales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landloom.wire.enums import RuntimeEnum, VectorizeMethodEnum
from rasterflow_remote.arguments import (
    one_store,
    pass_over,
    renamed,
    required,
    store_uris,
)
from rasterflow_remote.calls import Caller
from rasterflow_remote.results import MosaicResult, UriResult


class DerivedMethods(Caller):
    """Makes polygons, change and multiscales of mosaics and predictions."""

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
            vectorize_config: Options, such as `{"stats": True, "close_holes": True}`; with
                `"pmtiles": True` vector tiles lie beside the folder, at the result's `pmtiles_uri`.
            store: The older name of `mosaic`.
            target_crs: EPSG code of the polygons.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        pass_over(envs)
        method = "vectorize_mosaic"
        source = required(method, "mosaic", renamed(method, ("store", store), ("mosaic", mosaic)))
        return self._uri(
            method,
            mosaic=one_store(method, source),
            features=required(method, "features", features),
            threshold=threshold,
            vectorize_method=VectorizeMethodEnum.parse(vectorize_method),
            vectorize_config={} if vectorize_config is None else vectorize_config,
            target_crs=target_crs,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    def run_mosaics_change(
        self,
        mosaics: Any = None,
        features: list[str] | None = None,
        *,
        store: Any = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> MosaicResult:
        """Subtract each time step of mosaics of one grid from the next one.

        A step of the output bears the earlier date as `time`; `time + time_delta` is the later one.

        Args:
            mosaics: A store URI, an index URI, an earlier result, or a list of these.
            features: Bands to compare; None is every band.
            store: The older name of `mosaics`.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        pass_over(envs)
        method = "run_mosaics_change"
        source = renamed(method, ("store", store), ("mosaics", mosaics))
        return self._mosaic(
            method,
            mosaics=store_uris(required(method, "mosaics", source)),
            features=features,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )

    def build_zarr_multiscales(
        self,
        source_store: Any,
        *,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
    ) -> UriResult:
        """Copy a georeferenced Zarr store into a new one with overviews and statistics, for maps.

        Args:
            source_store: A store URI or the result of an earlier call.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
        """
        pass_over(envs)
        return self._uri(
            "build_zarr_multiscales",
            source_store=one_store("build_zarr_multiscales", source_store),
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
        )
