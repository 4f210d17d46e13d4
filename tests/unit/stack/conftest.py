"""One embedded store for the tests of this folder."""

import pytest

from landloom.stack.files import private_folder
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.ports import pick
from landloom.stack.secrets import MasterSecret
from landloom.stack.weed import StorePorts, WeedConfig

SESSION_SECONDS = 8
"""How long keys are lent for which nobody says how long: a test waits for their end."""


def make_store(folder, ports=None, **changes):
    private_folder(folder)
    master, volume, filer, s3 = ports or pick(4, with_grpc=True)
    config = WeedConfig(
        folder / "store",
        folder / "store-conf",
        StorePorts(master=master, volume=volume, filer=filer, s3=s3),
        MasterSecret.ensure(folder / "secret"),
        session_seconds=SESSION_SECONDS,
        **changes,
    )
    return EmbeddedStore(config, "landloom", folder / "store.log", folder / "store.pid")


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    made = make_store(tmp_path_factory.mktemp("store"))
    made.ensure()
    yield made
    made.end()
