"""A platform for tests: the real application on loopback, over a store that is a folder."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import select

from landloom.errors import Forbidden, NotFound
from landloom.server.accounts.bootstrap import Bootstrap, ensure_admin
from landloom.server.app import create_app
from landloom.server.db.base import Base
from landloom.server.db.session import Database
from landloom.server.kit.clock import now
from landloom.server.settings import Settings
from landloom.server.storage.admin import Credentials
from landloom.server.storage.layout import UserStorage
from landloom.server.storage.places import StoreAccess
from landloom.server.storage.scopes import Scope
from tests.api.stores import RealStore


@dataclass
class FolderStore:
    """An object store in a folder: buckets are folders, and users have prefixes."""

    root: Path
    rights: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    can_scope: bool = True

    async def ensure_bucket(self, name: str) -> None:
        (self.root / name).mkdir(parents=True, exist_ok=True)

    async def ensure_user(
        self, user_id: str, *, bucket: str, read_write: Sequence[str]
    ) -> Credentials:
        self.rights[f"key-{user_id}"] = (bucket, tuple(read_write))
        return Credentials(f"key-{user_id}", f"secret-{user_id}")

    async def withdraw_user(self, user_id: str) -> None:
        self.rights.pop(f"key-{user_id}", None)

    async def lend(self, scope: Scope, *, seconds: int | None = None) -> Credentials:
        end = now() + timedelta(seconds=seconds or 3600)
        key = f"lent-{len(self.rights)}"
        self.rights[key] = (scope.bucket, scope.keys)
        return Credentials(key, f"secret-{key}", scope.policy(), end)

    async def download(self, access: StoreAccess, bucket: str, key: str, destination: Path) -> None:
        assert access.credentials is not None
        allowed_bucket, prefixes = self.rights[access.credentials.access_key]
        if bucket != allowed_bucket or not key.startswith(prefixes):
            raise Forbidden(f"No right to read s3://{bucket}/{key}.")
        source = self.root / bucket / key
        if not source.is_file():
            raise NotFound(f"There is no object s3://{bucket}/{key}.")
        await asyncio.to_thread(shutil.copyfile, source, destination)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        path = self.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@dataclass
class Platform:
    """A running platform and its admin's client."""

    settings: Settings
    store: FolderStore | RealStore
    admin: Bootstrap
    url: str
    client: httpx.Client

    @property
    def storage(self) -> UserStorage:
        return UserStorage(self.settings.bucket, self.admin.org_id, self.admin.user_id)

    def upload(self, name: str, text: str) -> str:
        """Put a script into the admin's folder; return its URI."""
        self.store.put(self.settings.bucket, self.storage.private_prefix + name, text.encode())
        return self.storage.user_path + name

    def submit(self, script: str, **payload: Any) -> dict[str, Any]:
        """Upload and submit a script; return the run."""
        source = {"uri": self.upload(f"script-{time.monotonic_ns()}.py", script)}
        if "args" in payload:
            source["args"] = payload.pop("args")
        body = {"name": "test-run", "runtime": "micro", "runPython": source, **payload}
        answer = self.client.post("/runs", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def run(self, run_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finished(self, run_id: str, seconds: float = 120) -> dict[str, Any]:
        return eventually(
            lambda: self.run(run_id),
            lambda run: run["status"] not in {"PENDING", "RUNNING"},
            seconds,
        )

    def lines(self, run_id: str) -> list[str]:
        """Return all lines of a run's log, page by page."""
        return log_lines(lambda query: self.client.get(f"/runs/{run_id}/logs?{query}").json())

    def first_line(self, run_id: str) -> str | None:
        """Return the first line of a log, to which more may be added faster than it is read."""
        page = self.client.get(f"/runs/{run_id}/logs", params={"size": 1}).json()
        return page["items"][0]["raw"] if page["items"] else None

    def stored(self) -> str:
        """Return every row of every table as text."""

        async def read() -> str:
            database = Database(self.settings.database)
            async with database.reading(None) as session:
                rows = [
                    str(tuple(row))
                    for table in Base.metadata.sorted_tables
                    for row in await session.execute(select(table))
                ]
            await database.close()
            return "\n".join(rows)

        return asyncio.run(read())

    def codes(self, run_id: str) -> list[str]:
        app = self.run(run_id)["kubeApp"]
        return [event["code"] for event in app["events"]] if app else []


def log_lines(page_at: Callable[[str], dict[str, Any]]) -> list[str]:
    """Return all lines of a log; `page_at` fetches the page that a query names."""
    cursor, lines = 0, list[str]()
    while True:
        page = page_at(f"cursor={cursor}&size=1000")
        lines += [item["raw"] for item in page["items"]]
        if page["next_page"] is None:
            return lines
        cursor = page["next_page"]


def eventually[T](look: Callable[[], T], good: Callable[[T], bool], seconds: float = 120) -> T:
    """Look until it is good; fail with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < deadline, f"not in {seconds} s; last seen: {seen}"
        time.sleep(0.02)


_databases: list[Callable[[str], str]] = []


@contextlib.contextmanager
def databases_of(url: Callable[[str], str]) -> Iterator[None]:
    """Keep platforms' data in databases whose URLs `url` gives, by the name of the data folder."""
    _databases.append(url)
    try:
        yield
    finally:
        _databases.pop()


def make_settings(data_dir: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": _databases[-1](str(data_dir)) if _databases else "",
        "data_dir": data_dir,
        "cpus": 2,
        "memory_bytes": 8 << 30,
        "trust_users": True,
        "s3_endpoint": "http://127.0.0.1:9",
        **changes,
    }
    return Settings(_env_file=None, **values)


@contextlib.contextmanager
def platform(
    data_dir: Path, *, store: FolderStore | RealStore | None = None, **changes: Any
) -> Iterator[Platform]:
    """Run a platform on a data folder, new or used, over a store that is a folder, or real."""
    if isinstance(store, RealStore):
        changes = {**store.settings, **changes}
    store = store or FolderStore(data_dir / "store")
    with _listening() as (sockets, url):
        settings = make_settings(data_dir, public_url=url, **changes)
        admin = asyncio.run(ensure_admin(settings, store, api_key=_kept_key(data_dir)))
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "test.key").write_text(admin.api_key)
        app = create_app(settings, store, objects=store)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2, access_log=False)
        )
        thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
        thread.start()
        eventually(lambda: server.started or not thread.is_alive(), bool)
        assert server.started, "the server did not start"
        with httpx.Client(base_url=url, headers={"X-API-Key": admin.api_key}, timeout=60) as client:
            try:
                yield Platform(settings, store, admin, url, client)
            finally:
                server.should_exit = True
                thread.join(60)
                assert not thread.is_alive(), "the server did not stop"


def _kept_key(data_dir: Path) -> str:
    kept = data_dir / "test.key"
    return kept.read_text() if kept.exists() else ""


@contextlib.contextmanager
def _listening() -> Iterator[tuple[list[Any], str]]:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        yield [listener], f"http://{host}:{port}"
