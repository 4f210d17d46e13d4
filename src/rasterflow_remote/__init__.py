"""The client of Landloom's raster workflows, under the name that existing scripts import.

`RasterflowClient` builds mosaics, runs models over them and turns the result into polygons. Where
`LANDLOOM_URL` names a server the work is done there; without one, in this process.
"""

from landloom.wire.enums import (
    DatasetEnum,
    GeometryModelRecipes,
    InferenceActorEnum,
    MergeModeEnum,
    ModelRecipes,
    MosaicToMosaicActorEnum,
    ResamplingMethod,
    RuntimeEnum,
    VectorizeMethodEnum,
)
from rasterflow_remote.client import RasterflowClient
from rasterflow_remote.inference import InferenceConfig
from rasterflow_remote.results import MosaicResult, UriOutput, UriResult

__all__ = [
    "DatasetEnum",
    "GeometryModelRecipes",
    "InferenceActorEnum",
    "InferenceConfig",
    "MergeModeEnum",
    "ModelRecipes",
    "MosaicResult",
    "MosaicToMosaicActorEnum",
    "RasterflowClient",
    "ResamplingMethod",
    "RuntimeEnum",
    "UriOutput",
    "UriResult",
    "VectorizeMethodEnum",
]
