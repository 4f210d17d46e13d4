"""A server of its own process over a folder: `python -m tests.e2e.serve DIR PORT [SETTINGS]`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import uvicorn

from landloom.server import journal
from landloom.server.accounts.bootstrap import ensure_admin
from landloom.server.app import create_app
from landloom.server.kit import clock
from tests.api.platform import FolderStore, make_settings


class SteppingClock(datetime):
    """The wall clock, off by the seconds that a file says at each look."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        offset = float(Path(os.environ["TEST_CLOCK_OFFSET"]).read_text())
        return datetime.now(tz) + timedelta(seconds=offset)


def main(data_dir: Path, port: int, changes: dict[str, Any]) -> None:
    journal.configure()
    if "TEST_CLOCK_OFFSET" in os.environ:
        clock.datetime = SteppingClock
    store = FolderStore(data_dir / "store")
    settings = make_settings(data_dir, public_url=f"http://127.0.0.1:{port}", **changes)
    kept = data_dir / "connection.env"
    admin = asyncio.run(ensure_admin(settings, store))
    # Whole or not at all: a server that starts again has clients that read it all the while.
    fresh = data_dir / f"connection-{os.getpid()}.new"
    fresh.write_text(
        f"WHEROBOTS_API_KEY={admin.api_key}\nORG={admin.org_id}\nUSER={admin.user_id}\n"
    )
    fresh.replace(kept)
    app = create_app(settings, store, objects=store)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads((sys.argv[3:] or ["{}"])[0]))
