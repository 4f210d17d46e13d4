"""Spatial Units: the platform's unit of account, what a runtime costs an hour.

A run uses them from the moment its script starts until it ends. What an hour costs, and the price
of a unit, are those of the moment it was submitted: they stand in its row, and later changes of the
operator's settings do not change what was.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from landloom.server.usage.repository import RunFacts

_HOUR: Final = 3600.0
_SMALLEST: Final = Decimal("0.000001")


def spatial_units(run: RunFacts, start: datetime, end: datetime) -> float | None:
    """Return what a run used up between two instants, or None where its rate is not known."""
    if run.spatial_units_per_hour is None:
        return None
    if run.started_at is None:
        return 0.0
    ended = min(end, run.completed_at or end)
    seconds = max(0.0, (ended - max(start, run.started_at)).total_seconds())
    return run.spatial_units_per_hour * seconds / _HOUR


def decimal_text(value: float) -> str:
    """Write a number of units or dollars without an exponent, to a millionth."""
    return f"{Decimal(value).quantize(_SMALLEST):f}"
