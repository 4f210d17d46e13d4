from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.api.filing import REGION
from tests.api.platform import Platform, databases_of, platform
from tests.api.postgres import postgres, postgres_binaries
from tests.api.seaweed import real_store
from tests.api.stores import RealStore, named_store


@pytest.fixture(scope="session", autouse=True)
def captured_logs() -> Iterator[None]:
    """Send the server's log where pytest catches it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            # The default draws every variable of every frame, which takes a server seconds.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True, params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database of every platform: all tests run on each."""
    if request.param == "sqlite":
        yield request.param
        return
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with postgres(binaries) as server, databases_of(server.url):
        yield request.param


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    """A real store for the platforms whose files are looked at; see `stores.named_store`."""
    foreign = named_store(tmp_path_factory.mktemp("foreign"))
    if foreign is not None:
        yield foreign
        return
    with real_store(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def stored(
    database: str, store: RealStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform over the real store that the tests of a module share."""
    with platform(tmp_path_factory.mktemp("platform"), store=store) as running:
        yield running


@pytest.fixture(scope="module")
def api(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that the tests of a module share."""
    with platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The folder of a platform of a test's own."""
    return tmp_path / "data"


@pytest.fixture
def folder(stored: Platform) -> Iterator[str]:
    """A folder of a test's own in the real store, as a path in My files."""
    name = f"test-{next(_numbers)}"
    assert stored.client.put(f"/storage/{REGION}/directories/{name}").status_code == 200
    yield name
    stored.client.delete(f"/storage/{REGION}/directories/{name}")


_numbers = itertools.count()
