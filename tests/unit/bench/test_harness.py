"""What all benchmarks share: each can be run whole, in part, and not at all by a wrong name."""

import argparse
import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "bench" / "harness.py"


@pytest.fixture(scope="module")
def parser():
    spec = importlib.util.spec_from_file_location("bench_harness", PATH)
    harness = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = harness
    spec.loader.exec_module(harness)
    parser = argparse.ArgumentParser()
    harness.add_cases(parser, {"one": 1, "two": 2})
    return parser


@pytest.mark.parametrize("named", [[], ["two"], ["one", "two"]])
def test_a_benchmark_takes_any_of_its_cases_or_none(parser, named):
    assert parser.parse_args(named).cases == named


def test_a_benchmark_knows_its_cases(parser):
    with pytest.raises(SystemExit):
        parser.parse_args(["three"])
