"""What a caller may say about a vectorization: the free-form `vectorize_config`, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from landloom.errors import InvalidInput

KNOWN = ("connectivity", "medial_skeletonize", "stats", "threshold")


@dataclass(frozen=True, slots=True)
class VectorizeConfig:
    """How a prediction becomes polygons."""

    thresholds: tuple[tuple[str, float], ...]
    """Each feature with the least score that belongs to it."""
    stats: bool = False
    connectivity: int = 4

    @classmethod
    def parse(cls, given: Mapping[str, Any], features: Sequence[str], threshold: float) -> Self:
        """Read a `vectorize_config`.

        Args:
            given: Keys of KNOWN. `threshold` is a number, or numbers by feature.
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
        if _flag(given, "medial_skeletonize"):
            raise _wrong(
                "medial_skeletonize=True is not there yet",
                "Leave it out, or pass False, to get areas.",
            )
        connectivity = given.get("connectivity", 4)
        if connectivity not in (4, 8):
            raise _wrong(f"connectivity is {connectivity!r}", "Pass 4 or 8.")
        return cls(_thresholds(given, features, threshold), _flag(given, "stats"), connectivity)


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
