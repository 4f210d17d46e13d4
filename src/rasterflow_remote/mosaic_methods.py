"""The client's methods that build mosaics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from landloom.wire.enums import DatasetEnum, ResamplingMethod, RuntimeEnum
from rasterflow_remote.arguments import (
    dataset_names,
    pass_over,
    portable_aoi,
    renamed,
)
from rasterflow_remote.calls import Caller
from rasterflow_remote.results import MosaicResult


class MosaicMethods(Caller):
    """Builds mosaics of catalogued imagery, or of the caller's own rasters."""

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
        on_error: str = "raise",
        overviews: bool = False,
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
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
            on_error: What becomes of a raster that cannot be read: "raise" an error that names it,
                or "skip" it, counted in the result.
            overviews: Write overviews and statistics into the mosaic while it is built.
        """
        pass_over(envs)
        target = renamed("build_mosaics", ("crs_epsg", crs_epsg), ("target_crs", target_crs))
        return self._mosaic(
            "build_mosaics",
            datasets=dataset_names(datasets),
            aoi=portable_aoi(aoi),
            start=start,
            end=end,
            target_crs=target,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
            on_error=on_error,
            overviews=overviews,
        )

    build_mosaic = build_mosaics
    """The name before June 2026."""

    def build_gti_mosaics(
        self,
        gti: str,
        aoi: Any,
        bands: list[str],
        location_field: str = "location",
        time_column: str | None = None,
        target_crs: int | None = None,
        xy_chunksize: int | None = None,
        query: str | None = None,
        requester_pays: bool = False,
        sort_field: str | None = None,
        resampling: ResamplingMethod | str = ResamplingMethod.NEAREST,
        nodata: float | None = None,
        *,
        crs_epsg: int | None = None,
        resolution: float | None = None,
        runtime: RuntimeEnum | str = RuntimeEnum.SMALL,
        envs: Mapping[str, str] | None = None,
        bucket: str | None = None,
        on_error: str = "raise",
        overviews: bool = False,
    ) -> MosaicResult:
        """Build one mosaic per AOI row of the rasters that a GeoParquet tile index lists.

        Args:
            gti: URL of the index: one row a raster, all with the same bands in the same order.
            aoi: URL of a GeoParquet or GeoJSON file, or a GeoDataFrame in any CRS.
            bands: Labels of the output, one for each band of the rasters, by position.
            location_field: Column with each raster's URL.
            time_column: Column of timestamps or years; each distinct value is a time step.
            target_crs: EPSG code of the mosaic; None is the CRS of the first raster in the AOI.
            xy_chunksize: Pixels a side of an inner chunk; None is the engine's own choice.
            query: Which rows count, such as `res == .6 and year >= 2020`.
            requester_pays: Whether the caller's account pays for reading.
            sort_field: Column by which rasters are drawn, greater values on top.
            resampling: How rasters on another grid are brought to the mosaic's.
            nodata: Value of pixels without data; None leaves it to the rasters.
            crs_epsg: The older name of `target_crs`.
            resolution: Pixel size in units of the mosaic's CRS; None is the first raster's.
            runtime: How much of a machine the work may use.
            envs: Has no effect, and a warning says so: workflows take no environment.
            bucket: `s3://bucket/prefix` for the outputs; None is the caller's temporary folder.
            on_error: What becomes of a raster that cannot be read: "raise" an error that names it,
                or "skip" it, counted in the result.
            overviews: Write overviews and statistics into the mosaic while it is built.
        """
        pass_over(envs)
        method = "build_gti_mosaics"
        return self._mosaic(
            method,
            gti=gti,
            aoi=portable_aoi(aoi),
            bands=bands,
            location_field=location_field,
            time_column=time_column,
            target_crs=renamed(method, ("crs_epsg", crs_epsg), ("target_crs", target_crs)),
            resolution=resolution,
            xy_chunksize=xy_chunksize,
            query=query,
            requester_pays=requester_pays,
            sort_field=sort_field,
            resampling=ResamplingMethod.parse(resampling),
            nodata=nodata,
            runtime=RuntimeEnum.parse(runtime),
            bucket=bucket,
            on_error=on_error,
            overviews=overviews,
        )

    build_gti_mosaic = build_gti_mosaics
    """The name before June 2026."""
