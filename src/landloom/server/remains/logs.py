"""What is to be read in place of a log that was removed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from landloom.server.accounts.keys import Caller
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.logs.base import LogLine
from landloom.server.remains import repository
from landloom.server.settings import Settings


async def word_of_removal(
    settings: Settings, database: Database, caller: Caller, run_id: str
) -> list[LogLine]:
    """Return the one line that stands for a log whose days are over; none for any other."""
    days, directory = settings.log_days, settings.workloads_dir / run_id
    if days is None or await asyncio.to_thread(directory.exists):
        return []
    async with database.reading(caller.organization_id) as session:
        ends = await repository.ends(session, [run_id])
    over = [each.at for each in ends if each.at and each.at < now() - timedelta(days=days)]
    return [
        LogLine(
            timestamp=int(at.timestamp() * 1000),
            raw=f"[landloom] Logs are kept here for {days:g} days, and this run ended before that.",
        )
        for at in over
    ]
