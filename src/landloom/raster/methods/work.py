"""What the steps of one workflow share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from landloom.errors import InvalidInput
from landloom.raster.cache import Cache
from landloom.raster.catalog import Catalog, load_catalog
from landloom.raster.execute.base import AskCancelled, Executor
from landloom.raster.journal import Journal
from landloom.raster.mosaic.build import Sizes
from landloom.raster.plan.rates import Rates
from landloom.raster.provenance import Origin
from landloom.raster.settings import EngineSettings
from landloom.raster.store.index import read_index
from landloom.wire.requests import WorkflowRequest


@dataclass(frozen=True, slots=True)
class Work:
    """One workflow in work."""

    settings: EngineSettings
    seed: str
    """The workflow's id; names of outputs follow from it."""
    journal: Journal
    cancelled: AskCancelled
    executor: Executor
    request: WorkflowRequest
    """What was asked for, for the records of what is made."""

    def cache(self) -> Cache | None:
        """Return the caller's cache, unless the request or the settings want none."""
        folder = self.settings.cache
        return Cache(folder) if folder is not None and self.request.cache else None

    def rates(self) -> Rates:
        """Return how fast this machine works; kept beside the models, which outlive workflows."""
        return Rates(self.settings.models)

    def catalog(self) -> Catalog:
        """Return the datasets and recipes that are known here."""
        return load_catalog(self.settings.catalog)

    def uri(self, what: str, suffix: str, origin: Origin | None = None) -> str:
        """Return where an output goes: a name of 12 hex digits that follows from the seed.

        Args:
            what: Tells the workflow's outputs apart.
            suffix: Of the name.
            origin: What it is made of, which the name follows from too: a workflow that is started
                again goes on with what was begun of the very same things, and with nothing else.
        """
        name = f"{self.seed}/{what}" + (f"/{origin.digest}" if origin else "")
        digest = hashlib.sha256(name.encode()).hexdigest()
        return f"{self.settings.output_uri}{digest[:12]}{suffix}"

    def sizes(self, chunk: int | None = None) -> Sizes:
        """Return how mosaics are cut: a shard may be smaller than the usual pieces of one.

        Args:
            chunk: Pixels a side of an inner chunk where the caller wants another than ours; shards
                are then the multiple of it that is nearest below the usual one, at least one.
        """
        usual, shard = Sizes(), self.settings.shard
        if chunk is not None:
            shard = max(1, shard // chunk) * chunk
        inner = chunk or min(usual.chunk, shard)
        return Sizes(shard, min(usual.subtile, shard), inner)


def one_store(work: Work, given: str) -> str:
    """Return the one store that a URI means: of an index the first, and the others are told."""
    stores = stores_of([given])
    if not stores:
        raise InvalidInput(f"The index {given} is empty: there is no mosaic in it.")
    if len(stores) > 1:
        work.journal.warn(
            "search", f"{given} names {len(stores)} mosaics; the first is taken: {stores[0]}"
        )
    return stores[0]


def stores_of(given: Sequence[str]) -> list[str]:
    """Return store URIs; an index (`.parquet`) stands for the stores in it."""
    stores: list[str] = []
    for uri in given:
        if uri.rstrip("/").endswith(".parquet"):
            stores += [row.location for row in read_index(uri)]
        else:
            stores.append(uri)
    return stores
