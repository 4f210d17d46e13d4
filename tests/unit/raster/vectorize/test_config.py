"""What vectorize_config may say."""

from __future__ import annotations

from typing import Any

import pytest

from landloom.errors import InvalidInput
from landloom.raster.vectorize.config import VectorizeConfig


class TestParse:
    def test_takes_the_request_threshold_for_every_feature(self) -> None:
        config = VectorizeConfig.parse({"stats": True}, ["field", "boundary"], 0.5)
        assert config.thresholds == (("field", 0.5), ("boundary", 0.5))
        assert config.stats
        assert config.connectivity == 4

    def test_takes_thresholds_by_feature(self) -> None:
        config = VectorizeConfig.parse({"threshold": {"b": 0.25}}, ["a", "b"], 0.5)
        assert config.thresholds == (("a", 0.5), ("b", 0.25))

    @pytest.mark.parametrize("value", [False, None])
    def test_accepts_no_skeletons(self, value: object) -> None:
        assert not VectorizeConfig.parse({"medial_skeletonize": value}, ["a"], 0.5).stats

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"statz": True}, "statz"),
            ({"connectivity": 6}, "6"),
            ({"stats": "yes"}, "yes"),
            ({"threshold": {"c": 0.5}}, "'c'"),
            ({"threshold": 0}, "'a' is 0"),
            ({"threshold": "high"}, "high"),
            ({"threshold": True}, "True"),
        ],
    )
    def test_refuses_what_it_does_not_know_and_says_what_it_does(
        self, given: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(InvalidInput, match=said) as refusal:
            VectorizeConfig.parse(given, ["a"], 0.5)
        assert refusal.value.suggestion

    def test_refuses_no_features(self) -> None:
        with pytest.raises(InvalidInput, match="features is empty"):
            VectorizeConfig.parse({}, [], 0.5)
