from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from landloom.server.usage.units import decimal_text, spatial_units

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Facts:
    id: str = "r"
    app_id: str | None = "a"
    organization_id: str = "o"
    user_id: str = "u"
    region: str = "here"
    runtime: str = "tiny"
    started_at: datetime | None = T0
    completed_at: datetime | None = T0 + 2 * HOUR
    spatial_units_per_hour: float | None = 3.0
    usd_per_spatial_unit: float | None = None


@pytest.mark.parametrize(
    ("start", "end", "units"),
    [
        (T0, T0 + 2 * HOUR, 6.0),
        (T0 - HOUR, T0 + 9 * HOUR, 6.0),
        (T0 + HOUR / 2, T0 + HOUR, 1.5),
        (T0 - 2 * HOUR, T0 - HOUR, 0.0),
        (T0 + 3 * HOUR, T0 + 4 * HOUR, 0.0),
    ],
)
def test_a_run_uses_units_while_it_runs(start: datetime, end: datetime, units: float):
    assert spatial_units(Facts(), start, end) == pytest.approx(units)


def test_slices_of_time_add_up():
    edges = [T0 - HOUR + timedelta(minutes=7 * n) for n in range(60)]
    parts = [spatial_units(Facts(), a, b) or 0.0 for a, b in itertools.pairwise(edges)]
    assert sum(parts) == pytest.approx(6.0)


def test_one_that_has_not_ended_uses_units_until_now():
    assert spatial_units(Facts(completed_at=None), T0, T0 + 5 * HOUR) == pytest.approx(15.0)


def test_one_that_never_started_used_none_and_one_without_a_rate_is_unknown():
    assert spatial_units(Facts(started_at=None), T0, T0 + HOUR) == 0.0
    assert spatial_units(Facts(spatial_units_per_hour=None), T0, T0 + HOUR) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000000"), (1e-9, "0.000000"), (12.5, "12.500000"), (1e7, "10000000.000000")],
)
def test_amounts_have_no_exponent(value: float, text: str):
    assert decimal_text(value) == text
