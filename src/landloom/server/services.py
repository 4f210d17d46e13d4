"""The server's parts, put together."""

from __future__ import annotations

from dataclasses import dataclass

from landloom.server.accounts.admission import Admission
from landloom.server.accounts.keys import Keys
from landloom.server.accounts.organizations import Organizations
from landloom.server.accounts.people import People
from landloom.server.accounts.service import Accounts
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.launchers.capacity import Capacity
from landloom.server.launchers.choice import Launchers
from landloom.server.logs.file import FileLogStore
from landloom.server.metrics.meters import Meters
from landloom.server.metrics.service import Metrics
from landloom.server.remains.service import Remains
from landloom.server.runs.doubts import Doubts
from landloom.server.runs.preparation import Preparation
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.service import Runs
from landloom.server.settings import Settings
from landloom.server.storage.addresses import PublicAddress
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.integrations.service import Integrations
from landloom.server.storage.lending.service import Lending
from landloom.server.storage.objects import ObjectReader, S3Objects
from landloom.server.storage.quota.measuring import Measuring
from landloom.server.storage.quota.service import Quota
from landloom.server.storage.removal import Removal
from landloom.server.storage.service import StoredFiles
from landloom.server.storage.sources import Sources
from landloom.server.usage.service import Usage
from landloom.server.workflows.expiry import Expiry
from landloom.server.workflows.reconciler import WorkflowQueue
from landloom.server.workflows.service import Workflows


@dataclass(frozen=True, slots=True)
class Services:
    """What endpoints and background work need."""

    settings: Settings
    database: Database
    keys: Keys
    accounts: Accounts
    people: People
    organizations: Organizations
    runs: Runs
    doubts: Doubts
    workflows: Workflows
    metrics: Metrics
    meters: Meters
    usage: Usage
    sources: Sources
    files: StoredFiles
    quota: Quota
    measuring: Measuring
    expiry: Expiry
    remains: Remains
    integrations: Integrations
    lending: Lending
    dispatchers: tuple[Dispatcher, ...]


def make_services(
    settings: Settings,
    object_store: ObjectStoreAdmin,
    launchers: Launchers,
    objects: ObjectReader | None = None,
) -> Services:
    """Put the parts together; nothing is started yet. `objects` fetches scripts."""
    admission = Admission.of(
        settings, isolated=launchers.isolation is not None, scoped=object_store.can_scope
    )
    shared = _Shared.of(settings, object_store, launchers)
    database, sources, quota = shared.database, shared.sources, shared.quota
    workflows, workflow_dispatcher = _workflows(shared)
    runs, doubts, run_dispatcher = _runs(shared, workflows, objects or shared.door)
    address = PublicAddress(settings.s3_public_endpoint, settings.s3_public_names)
    return Services(
        settings=settings,
        database=database,
        keys=shared.keys,
        accounts=Accounts(settings, database, shared.keys),
        people=People(database, admission, object_store),
        organizations=Organizations(database, admission, object_store),
        runs=runs,
        doubts=doubts,
        workflows=workflows,
        metrics=Metrics(settings, database, launchers.largest),
        meters=Meters(),
        usage=Usage(database),
        sources=sources,
        files=StoredFiles(sources, shared.door, quota, address),
        quota=quota,
        measuring=Measuring(settings, database, sources, shared.door),
        expiry=Expiry(settings, database, object_store, Removal(shared.door)),
        remains=shared.remains,
        integrations=shared.integrations,
        lending=Lending(settings, sources, object_store, quota),
        dispatchers=(run_dispatcher, workflow_dispatcher),
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What several parts are made of."""

    settings: Settings
    database: Database
    launchers: Launchers
    keys: Keys
    door: S3Objects
    integrations: Integrations
    sources: Sources
    quota: Quota
    remains: Remains

    @classmethod
    def of(
        cls, settings: Settings, object_store: ObjectStoreAdmin, launchers: Launchers
    ) -> _Shared:
        database = Database(settings.database)
        integrations = Integrations(settings, database)
        return cls(
            settings=settings,
            database=database,
            launchers=launchers,
            keys=Keys(database),
            door=S3Objects(),
            integrations=integrations,
            sources=Sources(settings, database, object_store, integrations),
            quota=Quota(settings, database),
            remains=Remains(settings, database),
        )


def _workflows(shared: _Shared) -> tuple[Workflows, Dispatcher]:
    settings, database, launchers = shared.settings, shared.database, shared.launchers
    sources, quota = shared.sources, shared.quota
    slots = Capacity.for_workflows(launchers.here, settings.workflow_slots)
    queue = WorkflowQueue(settings, database, launchers.workflows, sources, quota, slots)
    left = shared.remains.note
    dispatcher = Dispatcher(queue, lease_seconds=settings.lease_seconds, left=left)
    return Workflows(settings, database, dispatcher, sources, quota), dispatcher


def _runs(
    shared: _Shared, workflows: Workflows, objects: ObjectReader
) -> tuple[Runs, Doubts, Dispatcher]:
    settings, database, launchers = shared.settings, shared.database, shared.launchers
    logs, largest, sources = FileLogStore(), launchers.largest, shared.sources
    cancel = workflows.cancel_of_run
    queue = RunQueue(
        settings,
        database,
        launchers.runs,
        logs,
        Preparation(
            settings, shared.keys, largest, sources, shared.quota, objects, launchers.isolation
        ),
        Capacity.for_runs(launchers.together),
        cancel,
    )
    left = shared.remains.note
    dispatcher = Dispatcher(queue, lease_seconds=settings.lease_seconds, left=left)
    doubts = Doubts(database, settings.data_dir / "doubts", dispatcher.wake)
    runs = Runs(settings, database, logs, dispatcher, cancel, largest, sources, doubts)
    return runs, doubts, dispatcher
