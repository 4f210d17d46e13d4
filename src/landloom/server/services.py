"""The server's parts, put together."""

from __future__ import annotations

from dataclasses import dataclass

from landloom.server.accounts.keys import Keys
from landloom.server.accounts.organizations import Organizations
from landloom.server.accounts.people import People
from landloom.server.accounts.service import Accounts
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.launchers.base import Launcher
from landloom.server.launchers.capacity import Capacity
from landloom.server.launchers.machine import this_machine
from landloom.server.logs.file import FileLogStore
from landloom.server.metrics.service import Metrics
from landloom.server.runs.preparation import Preparation
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.service import Runs
from landloom.server.settings import Settings
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.objects import ObjectReader
from landloom.server.usage.service import Usage
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
    workflows: Workflows
    metrics: Metrics
    usage: Usage
    dispatchers: tuple[Dispatcher, ...]


def make_services(
    settings: Settings,
    object_store: ObjectStoreAdmin,
    launcher: Launcher,
    objects: ObjectReader,
) -> Services:
    """Put the parts together; nothing is started yet."""
    database = Database(settings.database)
    logs = FileLogStore()
    keys = Keys(database)
    machine = this_machine(
        cpus=settings.cpus, memory_bytes=settings.memory_bytes, gpus=settings.gpus
    )
    slots = Capacity.for_workflows(machine, settings.workflow_slots)
    workflow_queue = WorkflowQueue(settings, database, launcher, object_store, slots)
    workflow_dispatcher = Dispatcher(workflow_queue, lease_seconds=settings.lease_seconds)
    workflows = Workflows(settings, database, workflow_dispatcher)
    run_queue = RunQueue(
        settings,
        database,
        launcher,
        logs,
        Preparation(settings, keys, machine, object_store, objects),
        Capacity.for_runs(machine),
        workflows.cancel_of_run,
    )
    run_dispatcher = Dispatcher(run_queue, lease_seconds=settings.lease_seconds)
    return Services(
        settings=settings,
        database=database,
        keys=keys,
        accounts=Accounts(settings, database, keys),
        people=People(database),
        organizations=Organizations(database),
        runs=Runs(settings, database, logs, run_dispatcher, workflows.cancel_of_run, machine),
        workflows=workflows,
        metrics=Metrics(settings, database, machine),
        usage=Usage(database),
        dispatchers=(run_dispatcher, workflow_dispatcher),
    )
