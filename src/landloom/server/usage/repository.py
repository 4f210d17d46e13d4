"""Queries on what an organization's workloads were and used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol, cast

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.accounts.tables import User
from landloom.server.db.leases import LeasedRow
from landloom.server.runs.states import EventCode
from landloom.server.runs.tables import Run, RunEvent
from landloom.server.workflows.tables import Workflow


class RunFacts(Protocol):
    """The columns of a run that its use follows from."""

    id: str
    app_id: str | None
    organization_id: str
    user_id: str
    region: str
    runtime: str
    started_at: datetime | None
    completed_at: datetime | None
    spatial_units_per_hour: float | None
    usd_per_spatial_unit: float | None


class PastRun(RunFacts, Protocol):
    """The columns of a run in the history."""

    created_at: datetime
    updated_at: datetime
    name: str
    status: str
    source_client: str | None
    cancel_requested_at: datetime | None


class PastWorkflow(Protocol):
    """The columns of a workflow in the history."""

    id: str
    created_at: datetime
    updated_at: datetime
    user_id: str
    run_id: str | None
    kind: str
    status: str
    message: str
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None


_FACTS: Any = (
    Run.id,
    Run.app_id,
    Run.organization_id,
    Run.user_id,
    Run.region,
    Run.runtime,
    Run.started_at,
    Run.completed_at,
    Run.spatial_units_per_hour,
    Run.usd_per_spatial_unit,
)
_FAILURES = (EventCode.RUN_FAIL_EXEC, EventCode.RUN_FAIL_PREPARE)


async def runs_between(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> Sequence[PastRun]:
    """Return the runs that were submitted from `start` on and before `end`, newest first."""
    columns: Any = (
        *_FACTS,
        Run.created_at,
        Run.updated_at,
        Run.name,
        Run.status,
        Run.source_client,
        Run.cancel_requested_at,
    )
    rows = await _between(session, Run, columns, start, end, limit)
    return cast("Sequence[PastRun]", rows)


async def failures_between(session: AsyncSession, start: datetime, end: datetime) -> dict[str, str]:
    """Return why runs of this time failed, by their ids."""
    query = (
        select(RunEvent.run_id, RunEvent.message)
        .join(Run, Run.id == RunEvent.run_id)
        .where(Run.created_at >= start, Run.created_at < end, RunEvent.code.in_(_FAILURES))
    )
    return {row.run_id: row.message for row in (await session.execute(query)).all()}


async def workflows_between(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> Sequence[PastWorkflow]:
    """Return the workflows that were submitted from `start` on and before `end`, newest first."""
    columns: Any = (
        Workflow.id,
        Workflow.created_at,
        Workflow.updated_at,
        Workflow.user_id,
        Workflow.run_id,
        Workflow.kind,
        Workflow.status,
        Workflow.message,
        Workflow.started_at,
        Workflow.completed_at,
        Workflow.cancel_requested_at,
    )
    rows = await _between(session, Workflow, columns, start, end, limit)
    return cast("Sequence[PastWorkflow]", rows)


async def runs_alive_since(session: AsyncSession, start: datetime) -> Sequence[RunFacts]:
    """Return the runs that had begun and had not ended by then, or began later."""
    query = select(*_FACTS).where(
        Run.started_at.is_not(None), or_(Run.completed_at.is_(None), Run.completed_at > start)
    )
    rows: Any = (await session.execute(query)).all()
    return cast("Sequence[RunFacts]", rows)


async def runs_of_apps(session: AsyncSession, app_ids: Collection[str]) -> Sequence[RunFacts]:
    """Return the runs whose workloads these are."""
    rows: Any = (await session.execute(select(*_FACTS).where(Run.app_id.in_(app_ids)))).all()
    return cast("Sequence[RunFacts]", rows)


async def run(session: AsyncSession, run_id: str) -> RunFacts | None:
    """Return one run."""
    row: Any = (await session.execute(select(*_FACTS).where(Run.id == run_id))).first()
    return cast("RunFacts | None", row)


async def people(session: AsyncSession) -> dict[str, str]:
    """Return what each principal is called by its id: its e-mail address, or its name."""
    query = select(User.id, User.email, User.name)
    return {row.id: row.email or row.name or row.id for row in (await session.execute(query)).all()}


async def _between(
    session: AsyncSession,
    table: type[LeasedRow],
    columns: Sequence[Any],
    start: datetime,
    end: datetime,
    limit: int,
) -> Sequence[Any]:
    query = (
        select(*columns)
        .where(table.created_at >= start, table.created_at < end)
        .order_by(table.created_at.desc(), table.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).all()
