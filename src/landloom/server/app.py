"""The application: its parts put together, its routes, its life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request

from landloom.server import errors, health
from landloom.server.access import Access
from landloom.server.accounts import endpoints as account_routes
from landloom.server.accounts.keys import Keys
from landloom.server.accounts.service import Accounts
from landloom.server.db.session import Database
from landloom.server.dispatch import Dispatcher
from landloom.server.launchers.base import Launcher
from landloom.server.launchers.capacity import Capacity
from landloom.server.launchers.local import LocalLauncher
from landloom.server.launchers.machine import this_machine
from landloom.server.logs.file import FileLogStore
from landloom.server.problems import ErrorBody
from landloom.server.runs import endpoints as run_routes
from landloom.server.runs.preparation import Preparation
from landloom.server.runs.reconciler import RunQueue
from landloom.server.runs.service import Runs
from landloom.server.settings import Settings
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.objects import ObjectReader, S3Objects
from landloom.server.workflows import endpoints as workflow_routes
from landloom.server.workflows.reconciler import WorkflowQueue
from landloom.server.workflows.service import Workflows

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 403, 404, 409, 422, 500)
}


@dataclass(frozen=True, slots=True)
class Services:
    """What endpoints and background work need."""

    database: Database
    keys: Keys
    accounts: Accounts
    runs: Runs
    workflows: Workflows
    dispatchers: tuple[Dispatcher, ...]


def create_app(
    settings: Settings,
    object_store: ObjectStoreAdmin,
    *,
    launcher: Launcher | None = None,
    objects: ObjectReader | None = None,
) -> FastAPI:
    """Return the application.

    Its life runs the migrations, and the reconcilers of runs and workflows until it ends.

    Args:
        settings: What the operator decided.
        object_store: Gives users their keys to the managed storage.
        launcher: Starts workloads; local processes by default.
        objects: Fetches scripts; from `settings.s3_endpoint` by default.
    """
    services = _services(
        settings,
        object_store,
        launcher or LocalLauncher(),
        objects or S3Objects(endpoint_url=settings.s3_endpoint, region=settings.s3_region),
    )
    app = FastAPI(
        title="Landloom",
        version=version("landloom"),
        summary="Job runs and raster workflows over Earth imagery.",
        servers=[{"url": "/"}],
        lifespan=_life(settings, services),
        redirect_slashes=False,
        # Nothing is sent anywhere unless the operator asks for it.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
    )
    app.state.services = services
    errors.install(app)
    app.add_middleware(Access)
    app.include_router(run_routes.router)
    app.include_router(workflow_routes.router)
    app.include_router(account_routes.router)

    @app.get(
        "/health",
        operation_id="healthCheck",
        summary="Health probe",
        openapi_extra={"x-exclude-from-cli": True, "security": []},
    )
    async def read_health(request: Request) -> health.HealthResponse:
        """Say how the server is."""
        parts: Services = request.app.state.services
        return await health.check(parts.database)

    return app


def _services(
    settings: Settings,
    object_store: ObjectStoreAdmin,
    launcher: Launcher,
    objects: ObjectReader,
) -> Services:
    database = Database(settings.database)
    logs = FileLogStore()
    keys = Keys(database)
    machine = this_machine(cpus=settings.cpus, memory_bytes=settings.memory_bytes)
    workflow_dispatcher = Dispatcher(
        WorkflowQueue(
            settings,
            database,
            launcher,
            object_store,
            Capacity.for_workflows(machine, settings.workflow_slots),
        ),
        lease_seconds=settings.lease_seconds,
    )
    workflows = Workflows(settings, database, workflow_dispatcher)
    run_dispatcher = Dispatcher(
        RunQueue(
            settings,
            database,
            launcher,
            logs,
            Preparation(settings, keys, machine, object_store, objects),
            Capacity.for_runs(machine),
            workflows.cancel_of_run,
        ),
        lease_seconds=settings.lease_seconds,
    )
    return Services(
        database=database,
        keys=keys,
        accounts=Accounts(settings, database),
        runs=Runs(settings, database, logs, run_dispatcher, workflows.cancel_of_run),
        workflows=workflows,
        dispatchers=(run_dispatcher, workflow_dispatcher),
    )


def _life(settings: Settings, services: Services) -> Any:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        settings.workloads_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await services.database.migrate()
        tasks = [asyncio.create_task(each.run()) for each in services.dispatchers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await services.database.close()

    return life
