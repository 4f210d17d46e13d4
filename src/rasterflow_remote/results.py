"""Results of raster workflows: strings that know more.

Four generations of scripts expect four things of a result: a bare string that is the store's URI,
an object with `.uri`, one with `.mosaics`, one with `.mosaic_index_gdf`. A `str` subclass is all
four at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from landloom.errors import InvalidInput
from landloom.wire.results import WorkflowResult

if TYPE_CHECKING:
    import geopandas as gpd


class MosaicResult(str):
    """A mosaic or prediction. As a string: the URI of its first Zarr store."""

    __slots__ = ("_result",)
    _result: WorkflowResult

    def __new__(cls, result: WorkflowResult) -> Self:
        """Wrap what a workflow made; a dry run makes the empty string."""
        made = super().__new__(cls, result.mosaics[0].location if result.mosaics else "")
        made._result = result
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[WorkflowResult]]:
        return type(self), (self._result,)

    @property
    def result(self) -> WorkflowResult:
        """Everything the workflow handed back."""
        return self._result

    @property
    def first_row_mosaic(self) -> str:
        """URI of the Zarr store of the first AOI row."""
        return str(self)

    @property
    def mosaic_index_uri(self) -> str:
        """URI of the GeoParquet index, one row per store, column `location`."""
        return self._result.index_uri or ""

    @property
    def uri(self) -> str:
        """The index URI, under its name of spring 2026."""
        return self.mosaic_index_uri

    @property
    def mosaic_index_gdf(self) -> gpd.GeoDataFrame:
        """The index as a GeoDataFrame, read anew at each access.

        Raises:
            InvalidInput: It is the result of a dry run, which made none.
        """
        if not self.mosaic_index_uri:
            raise of_a_dry_run("mosaic_index_gdf")
        import geopandas as gpd  # noqa: PLC0415 - thin clients have no geopandas

        return gpd.read_parquet(self.mosaic_index_uri)

    @property
    def mosaics(self) -> gpd.GeoDataFrame:
        """`mosaic_index_gdf`, under its name of April 2026."""
        return self.mosaic_index_gdf

    @property
    def mosaic_index_df(self) -> Any:
        """The index as a Spark DataFrame of the active session.

        Raises:
            RuntimeError: There is no active Spark session.
            InvalidInput: It is the result of a dry run, which made none.
        """
        if not self.mosaic_index_uri:
            raise of_a_dry_run("mosaic_index_df")
        from pyspark.sql import SparkSession  # noqa: PLC0415 - only Spark jobs have it

        session = SparkSession.getActiveSession()
        if session is None:
            raise RuntimeError(
                "mosaic_index_df needs an active Spark session: create a SedonaContext first,"
                " or use mosaic_index_gdf."
            )
        return session.read.format("geoparquet").load(self.mosaic_index_uri)


class UriResult(str):
    """Polygons or multiscales. As a string: the URI of the GeoParquet folder or Zarr store."""

    __slots__ = ("_result", "_server")
    _result: WorkflowResult
    _server: str | None

    def __new__(cls, result: WorkflowResult, server: str | None = None) -> Self:
        """Wrap what a workflow made; `server` is the URL whose map page can show it."""
        made = super().__new__(cls, result.uri or "")
        made._result = result
        made._server = server
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[WorkflowResult, str | None]]:
        return type(self), (self._result, self._server)

    @property
    def result(self) -> WorkflowResult:
        """Everything the workflow handed back."""
        return self._result

    @property
    def uri(self) -> str:
        """URI of the GeoParquet folder or Zarr store."""
        return str(self)

    @property
    def pmtiles_uri(self) -> str:
        """URI of the polygons' vector tiles, a PMTiles archive; empty if none were asked for."""
        return self._result.pmtiles_uri or ""

    @property
    def map_url(self) -> str:
        """Page of the server's map that opens this URI; empty without a server."""
        if not self._server or not self:
            return ""
        kind, name = ("zarr", "raster") if self.endswith(".zarr") else ("geoparquet", "polygons")
        layer = {"l0.src": str(self), "l0.type": kind, "l0.name": name}
        return f"{self._server.rstrip('/')}/map?{urlencode(layer)}"


def of_a_dry_run(what: str) -> InvalidInput:
    """Return the error for using what a dry run did not make."""
    return InvalidInput(
        f"{what}: this is the result of a dry run, which makes nothing.",
        suggestion="Its plan is `result.result.plan`; make the client without dry_run=True.",
    )


UriOutput = UriResult
"""The name of `UriResult` in the public client."""
