"""What a caller may say about a vectorization: the free-form `vectorize_config`, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from landloom.errors import InvalidInput

SURFACES = ("distance", "score")

DEPTHS = {"distance": 20.0, "score": 0.1}
"""How deep the saddle between two fields must be by default: metres, or score."""

KNOWN = (
    "close_holes",
    "connectivity",
    "fiboa",
    "max_area_m2",
    "medial_skeletonize",
    "min_area_m2",
    "pmtiles",
    "simplify",
    "stats",
    "threshold",
    "watershed",
)


@dataclass(frozen=True, slots=True)
class Watershed:
    """Split areas where they have a waist."""

    surface: Literal["distance", "score"] = "distance"
    """What is flooded: metres to the area's edge, or the score."""
    depth: float = DEPTHS["distance"]
    """How far the saddle between two summits must lie below the lower one, in units of surface."""


@dataclass(frozen=True, slots=True)
class VectorizeConfig:
    """How a prediction becomes polygons.

    An area is split by `watershed`, then its holes are closed, then it is judged by its size, then
    its outline is simplified or it becomes centre lines. Areas are those of the pixels, on the
    ellipsoid.
    """

    thresholds: tuple[tuple[str, float], ...]
    """Each feature with the least score that belongs to it."""
    stats: bool = False
    """Whether rows carry `score_mean`, `score_min`, `score_max`, `score_std` and `score_count`.

    They are those of the area's pixels. A centre line has those of the whole area that it runs
    through, the same for all lines of it: they tell how sure a model is of a network, not of one
    road in it.
    """
    connectivity: int = 4
    min_area_m2: float = 0.0
    """Smaller areas are left out."""
    max_area_m2: float = float("inf")
    """Larger areas are left out; with `watershed`, what is still larger after splitting."""
    close_holes_m2: float = 0.0
    """Holes up to this area are filled; infinity fills all."""
    simplify_m: float = 0.0
    """No simplified line is further than this from the pixel edges it stands for; 0 keeps them."""
    medial_skeletonize: bool = False
    """Whether centre lines are wanted instead of areas."""
    watershed: Watershed | None = None
    fiboa: bool = False
    """Whether rows carry the columns of the field boundary specification."""
    pmtiles: bool = False
    """Whether vector tiles are made when the polygons are published."""

    @classmethod
    def parse(cls, given: Mapping[str, Any], features: Sequence[str], threshold: float) -> Self:
        """Read a `vectorize_config`.

        Args:
            given: Keys of KNOWN. `threshold` is a number, or numbers by feature; `close_holes` is
                True, or square metres; `watershed` is True, or `surface` and `depth`.
            features: Bands to vectorize.
            threshold: For every feature that `given` says nothing about.

        Raises:
            InvalidInput: A key is unknown, or a value cannot be used.
        """
        unknown = sorted(set(given) - set(KNOWN))
        if unknown:
            raise _wrong(
                f"vectorize_config has no {', '.join(map(repr, unknown))}",
                f"Its keys are {', '.join(KNOWN)}.",
            )
        connectivity = given.get("connectivity", 4)
        if connectivity not in (4, 8):
            raise _wrong(f"connectivity is {connectivity!r}", "Pass 4 or 8.")
        found = cls(
            _thresholds(given, features, threshold),
            stats=_flag(given, "stats"),
            connectivity=connectivity,
            min_area_m2=_measure(given, "min_area_m2", 0.0),
            max_area_m2=_measure(given, "max_area_m2", float("inf")),
            close_holes_m2=_holes(given),
            simplify_m=_measure(given, "simplify", 0.0),
            medial_skeletonize=_flag(given, "medial_skeletonize"),
            watershed=_watershed(given),
            fiboa=_flag(given, "fiboa"),
            pmtiles=_flag(given, "pmtiles"),
        )
        _check_together(found)
        return found


def _check_together(config: VectorizeConfig) -> None:
    if config.min_area_m2 > config.max_area_m2:
        raise _wrong(
            f"min_area_m2 {config.min_area_m2:g} is above max_area_m2 {config.max_area_m2:g}",
            "No area could be both.",
        )
    if config.medial_skeletonize and config.fiboa:
        raise _wrong(
            "fiboa and medial_skeletonize are both True", "fiboa describes areas: choose one."
        )
    if config.watershed and config.connectivity != 4:  # noqa: PLR2004
        raise _wrong("watershed takes connectivity 4", "Leave connectivity out.")


def _thresholds(
    given: Mapping[str, Any], features: Sequence[str], default: float
) -> tuple[tuple[str, float], ...]:
    if not features:
        raise InvalidInput(
            "There is nothing to vectorize: features is empty.",
            suggestion="Name at least one band of the prediction.",
            field="features",
        )
    said = given.get("threshold", default)
    by_feature = dict(said) if isinstance(said, Mapping) else dict.fromkeys(features, said)
    strangers = sorted(set(by_feature) - set(features))
    if strangers:
        raise _wrong(
            f"threshold names {', '.join(map(repr, strangers))}, which is not vectorized",
            f"The features are {', '.join(features)}.",
        )
    pairs = tuple((each, by_feature.get(each, default)) for each in dict.fromkeys(features))
    for feature, value in pairs:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise _wrong(
                f"the threshold of {feature!r} is {value!r}", "Pass a number above 0, at most 1."
            )
    return tuple((feature, float(value)) for feature, value in pairs)


def _holes(given: Mapping[str, Any]) -> float:
    value = given.get("close_holes", False)
    if value is True:
        return float("inf")
    return 0.0 if value is False else _measure(given, "close_holes", 0.0)


def _watershed(given: Mapping[str, Any]) -> Watershed | None:
    value = given.get("watershed", False)
    if value is None or value is False:
        return None
    said = {} if value is True else value
    if not isinstance(said, Mapping) or set(said) - {"surface", "depth"}:
        raise _wrong(
            f"watershed is {value!r}", "Pass True, or a dictionary with surface and depth."
        )
    surface = said.get("surface", "distance")
    if surface not in SURFACES:
        raise _wrong(f"the surface of watershed is {surface!r}", f"Pass {' or '.join(SURFACES)}.")
    return Watershed(surface, _measure(said, "depth", DEPTHS[surface]))


def _measure(given: Mapping[str, Any], key: str, default: float) -> float:
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise _wrong(f"{key} is {value!r}", "Pass a number, 0 or more.")
    return float(value)


def _flag(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key, False)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _wrong(f"{key} is {value!r}", "Pass True or False.")


def _wrong(what: str, way_out: str) -> InvalidInput:
    return InvalidInput(
        f"vectorize_config: {what}." if not what.startswith("vectorize_config") else f"{what}.",
        suggestion=way_out,
        field="vectorize_config",
    )
