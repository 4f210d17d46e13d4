"""Real kills at random moments.

`LANDLOOM_FAULT_ROUNDS` says how often each test does its worst (3 if not set), and
`LANDLOOM_FAULT_SEED` brings a failed run's moments back; both are printed with a failure.
"""

import os
import random
import secrets

import pytest

ROUNDS = int(os.environ.get("LANDLOOM_FAULT_ROUNDS", "3"))
SEED = int(os.environ.get("LANDLOOM_FAULT_SEED") or secrets.randbits(32))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> list[random.Random]:
    """A source of chance for each round; the same for the same seed and test."""
    print(f"LANDLOOM_FAULT_SEED={SEED} LANDLOOM_FAULT_ROUNDS={ROUNDS}")
    return [random.Random(f"{SEED} {request.node.name} {number}") for number in range(ROUNDS)]


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(
        f"faults: LANDLOOM_FAULT_SEED={SEED} LANDLOOM_FAULT_ROUNDS={ROUNDS}"
    )
