"""Libraries that compute a model, behind one door: torch, or OpenVINO where it gives the same."""

from landloom.raster.models.runtimes.base import Runtime, Wanted
from landloom.raster.models.runtimes.choose import choose

__all__ = ["Runtime", "Wanted", "choose"]
