"""The module from which scripts import enums and `InferenceConfig`."""

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
from rasterflow_remote.inference import InferenceConfig
from rasterflow_remote.results import UriOutput

__all__ = [
    "DatasetEnum",
    "GeometryModelRecipes",
    "InferenceActorEnum",
    "InferenceConfig",
    "MergeModeEnum",
    "ModelRecipes",
    "MosaicToMosaicActorEnum",
    "ResamplingMethod",
    "RuntimeEnum",
    "UriOutput",
    "VectorizeMethodEnum",
]
