"""Names that requests may use. Members are those of the public client; values are their lower case.

Every enum is a `str`, and `parse` takes a member, its name or its value in any case, because
scripts in the wild use all three.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from landloom.errors import InvalidInput


class NamedEnum(StrEnum):
    """A string enum that can be asked for by member, name or value, in any case."""

    @classmethod
    def parse(cls, given: str) -> Self:
        """Return the member that `given` names.

        Raises:
            InvalidInput: No member has this name or value; the message lists them.
        """
        wanted = str(given).strip().casefold()
        for member in cls:
            if wanted in {member.name.casefold(), member.value.casefold()}:
                return member
        names = ", ".join(member.name for member in cls)
        raise InvalidInput(
            f"{given!r} is not a {cls.__name__}.", suggestion=f"Use one of: {names}."
        )


class DatasetEnum(NamedEnum):
    """Imagery that a mosaic can be built of. The value is the prefix of its bands."""

    S2_MED_PLANTING = "s2med_planting"
    S2_MED_HARVEST = "s2med_harvest"
    S2_MED_WINDOWED_PIXEL = "s2med_windowed_pixel"
    S2_MED_WINDOWED_PIXEL_ALL_BANDS = "s2med_windowed_pixel_all_bands"
    NAIP_30CM = "naip_30cm"
    NAIP_60CM = "naip_60cm"


class ModelRecipes(NamedEnum):
    """A model together with the mosaics it wants and the way it is run."""

    FTW = "ftw"
    CHESAPEAKE_RSC = "chesapeake_rsc"
    TILE_2_NET = "tile_2_net"
    META_CHM_V1 = "meta_chm_v1"


class GeometryModelRecipes(NamedEnum):
    """A model that answers a text prompt with geometries."""

    SAM3_TEXT_GEOMETRY = "sam3_text_geometry"
    SAM3_TEXT_BBOX = "sam3_text_bbox"


class MosaicToMosaicActorEnum(NamedEnum):
    """What a model's output numbers mean, and how its input is laid out."""

    SEMANTIC_SEGMENTATION_PYTORCH = "semantic_segmentation_pytorch"
    REGRESSION_PYTORCH = "regression_pytorch"
    SEMANTIC_SEGMENTATION_CHANGE_DETECTION_PYTORCH = (
        "semantic_segmentation_change_detection_pytorch"
    )


InferenceActorEnum = MosaicToMosaicActorEnum
"""The name of `MosaicToMosaicActorEnum` before April 2026."""


class MergeModeEnum(NamedEnum):
    """How overlapping patches become one pixel."""

    WEIGHTED_AVERAGE = "weighted_average"
    CLIP = "clip"


class VectorizeMethodEnum(NamedEnum):
    """How a prediction becomes polygons."""

    SEMANTIC_SEGMENTATION_RASTERIO = "semantic_segmentation_rasterio"


class RuntimeEnum(NamedEnum):
    """How much of a machine a workflow may use."""

    MICRO = "micro"
    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    XLARGE = "x-large"
    XXLARGE = "2x-large"


class ResamplingMethod(NamedEnum):
    """How source pixels become pixels of the output grid: the names of GDAL."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    CUBIC = "cubic"
    CUBIC_SPLINE = "cubic_spline"
    LANCZOS = "lanczos"
    AVERAGE = "average"
    MODE = "mode"
    MAX = "max"
    MIN = "min"
    MED = "med"
    Q1 = "q1"
    Q3 = "q3"


class WorkflowStatus(StrEnum):
    """Where a workflow stands. A final status never changes."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing can follow this status."""
        return self in {self.COMPLETED, self.FAILED, self.CANCELLED}
