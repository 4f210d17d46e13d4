from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from landloom.server.db.session import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/db/test.sqlite")
    await database.migrate()
    yield database
    await database.close()
