"""Polars, unmodified, with `connection.env` alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Secured, drive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENVIRONMENT = "polars"


def test_tables_are_written_and_read(secured: Secured, tmp_path: Path) -> None:
    told = drive(ENVIRONMENT, "polars_tables.py", secured.platform.connection, tmp_path, {})
    assert told == {
        "equal": True,
        "sum": sum(range(4991, 5000)),
        "found": 5000,
        "rows": 5000,
    }
