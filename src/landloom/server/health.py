"""What `GET /health` answers: always 200, with what is well and what is not."""

from __future__ import annotations

import asyncio
from typing import Final

from landloom.server.db.session import Database
from landloom.server.kit.camel import CamelModel

_SECONDS: Final = 2.0


class HealthCheckDetail(CamelModel):
    """How one part is."""

    status: str
    message: str | None = None


class HealthResponse(CamelModel):
    """How the server is: `ok` or `degraded`."""

    status: str
    checks: dict[str, HealthCheckDetail] | None = None


async def check(database: Database) -> HealthResponse:
    """Look at the parts."""
    checks = {"database": await _database(database)}
    well = all(part.status == "ok" for part in checks.values())
    return HealthResponse(status="ok" if well else "degraded", checks=checks)


async def _database(database: Database) -> HealthCheckDetail:
    try:
        async with asyncio.timeout(_SECONDS):
            await database.ping()
    except Exception as problem:  # noqa: BLE001 - whatever is wrong, health must say it with 200
        return HealthCheckDetail(status="failed", message=type(problem).__name__)
    return HealthCheckDetail(status="ok")
