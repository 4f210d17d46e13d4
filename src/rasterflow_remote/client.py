"""`RasterflowClient`: mosaics, predictions and polygons, one blocking call each.

The methods take the argument names of every generation of the public client. Whatever a script
calls them, one request of `landloom.wire` goes to the server or to the engine in this process.
"""

from __future__ import annotations

from rasterflow_remote.backend import choose_backend
from rasterflow_remote.derived_methods import DerivedMethods
from rasterflow_remote.geometry_methods import GeometryMethods
from rasterflow_remote.mosaic_methods import MosaicMethods
from rasterflow_remote.prediction_methods import PredictionMethods

_VERSION = "v2.12.2"


class RasterflowClient(MosaicMethods, PredictionMethods, GeometryMethods, DerivedMethods):
    """Builds mosaics, predicts, vectorizes and more, on a server or in this process.

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
