"""The application: its routes and its life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request

from landloom.server import errors, health
from landloom.server.access import Access
from landloom.server.accounts import endpoints as account_routes
from landloom.server.accounts.auth import admit
from landloom.server.hints import endpoints as hint_routes
from landloom.server.launchers.choice import choose_launchers
from landloom.server.launchers.isolation import Isolation
from landloom.server.metrics import endpoints as metric_routes
from landloom.server.problems import ErrorBody
from landloom.server.runs import endpoints as run_routes
from landloom.server.services import Services, make_services
from landloom.server.settings import Settings
from landloom.server.storage import endpoints as storage_routes
from landloom.server.storage.admin import ObjectStoreAdmin
from landloom.server.storage.integrations import endpoints as integration_routes
from landloom.server.storage.lending import endpoints as lending_routes
from landloom.server.storage.objects import ObjectReader
from landloom.server.storage.quota import endpoints as quota_routes
from landloom.server.usage import endpoints as usage_routes
from landloom.server.workflows import endpoints as workflow_routes

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 403, 404, 409, 422, 500)
}


_health = APIRouter()


@_health.get(
    "/health",
    operation_id="healthCheck",
    summary="Health probe",
    openapi_extra={"x-exclude-from-cli": True, "security": []},
)
async def read_health(request: Request) -> health.HealthResponse:
    """Say how the server is."""
    services: Services = request.app.state.services
    return await health.check(services.database)


def create_app(
    settings: Settings,
    object_store: ObjectStoreAdmin,
    *,
    objects: ObjectReader | None = None,
    isolation: Isolation | None = None,
) -> FastAPI:
    """Return the application.

    Its life runs the migrations, and the reconcilers of runs and workflows until it ends.

    Args:
        settings: What the operator decided.
        object_store: Gives users their keys to the managed storage.
        objects: Fetches scripts; from the store itself by default.
        isolation: How users' workloads are kept apart; None is not at all.
    """
    services = make_services(
        settings,
        object_store,
        choose_launchers(settings, isolation),
        objects,
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
    app.add_middleware(Access, meters=services.meters, admit=admit)
    app.include_router(run_routes.router)
    app.include_router(metric_routes.router)
    app.include_router(workflow_routes.router)
    app.include_router(account_routes.router)
    app.include_router(usage_routes.router)
    app.include_router(hint_routes.router)
    app.include_router(lending_routes.router)
    app.include_router(quota_routes.router)
    app.include_router(integration_routes.router)
    app.include_router(storage_routes.router)
    app.include_router(_health)

    return app


def _life(settings: Settings, services: Services) -> Any:
    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        settings.workloads_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await services.database.migrate()
        tasks = [asyncio.create_task(each.run()) for each in services.dispatchers]
        tasks += [
            asyncio.create_task(services.expiry.run()),
            asyncio.create_task(services.measuring.run()),
            asyncio.create_task(services.doubts.run()),
            asyncio.create_task(services.remains.run()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await services.database.close()

    return life
