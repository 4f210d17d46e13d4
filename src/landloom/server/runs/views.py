"""Rows of runs as the API shows them."""

from __future__ import annotations

from landloom.server.accounts.service import principal
from landloom.server.runs import schemas
from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run, RunEvent


def run_view(row: Run) -> schemas.RunView:
    """Return a run; its owner and events must be loaded."""
    return schemas.RunView(
        id=row.id,
        create_time=row.created_at,
        update_time=row.updated_at,
        name=row.name,
        status=RunStatus(row.status),
        triggered_by=principal(row.owner),
        start_time=row.started_at,
        complete_time=row.completed_at,
        kube_app=_app(row),
        payload=schemas.RunPayload.model_validate(row.payload),
        region=row.region,
    )


def _app(row: Run) -> schemas.RunKubeApp | None:
    if row.app_id is None or row.app_status is None or row.app_created_at is None:
        return None
    return schemas.RunKubeApp(
        id=row.app_id,
        create_time=row.app_created_at,
        update_time=row.updated_at,
        instance_id=row.app_id,
        status=row.app_status,
        created_by_id=row.user_id,
        api_payload=row.payload,
        app_meta=schemas.RunAppMeta(resolved_version=row.resolved_version),
        events=[_event(event) for event in row.events],
        region_name=row.region,
        message=row.events[-1].message if row.events else None,
    )


def _event(row: RunEvent) -> schemas.KubeAppEvent:
    return schemas.KubeAppEvent(
        id=row.id,
        create_time=row.created_at,
        update_time=row.updated_at,
        code=row.code,
        message=row.message,
        event_meta=schemas.RunEventMeta.model_validate(row.meta) if row.meta else None,
    )
