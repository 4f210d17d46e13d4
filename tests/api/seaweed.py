"""A real store for platforms of tests: SeaweedFS, as `landloom up` starts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from landloom.stack.files import private_folder
from landloom.stack.identities import ADMIN
from landloom.stack.objectstore import EmbeddedStore
from landloom.stack.ports import pick
from landloom.stack.secrets import MasterSecret
from landloom.stack.storeadmin import EmbeddedStoreAdmin
from landloom.stack.weed import StorePorts, WeedConfig
from tests.api.stores import BUCKET, RealStore


class Seaweed(RealStore):
    """A SeaweedFS, and its process."""

    def __init__(self, store: EmbeddedStore) -> None:
        super().__init__(EmbeddedStoreAdmin(store), store.config.access(ADMIN))
        self.store = store


@contextlib.contextmanager
def real_store(folder: Path, *, domains: tuple[str, ...] = ("localhost",)) -> Iterator[Seaweed]:
    """Run a store of its own in a folder; below `domains`, buckets are hosts."""
    private_folder(folder)
    master, volume, filer, s3 = pick(4, with_grpc=True)
    config = WeedConfig(
        folder / "store",
        folder / "store-conf",
        StorePorts(master=master, volume=volume, filer=filer, s3=s3),
        MasterSecret.ensure(folder / "secret"),
        domains=domains,
    )
    store = EmbeddedStore(config, BUCKET, folder / "store.log", folder / "store.pid")
    store.ensure()
    try:
        yield Seaweed(store)
    finally:
        store.end()
