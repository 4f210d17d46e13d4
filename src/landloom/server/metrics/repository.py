"""Queries on how many workloads there are, in all organizations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run, RunCount
from landloom.server.workflows.tables import Workflow
from landloom.wire.enums import WorkflowStatus


async def runs_by_status(session: AsyncSession) -> dict[str, int]:
    """Count runs by their status; a status that none has counts 0."""
    query = select(RunCount.status, func.sum(RunCount.runs)).group_by(RunCount.status)
    counts = {str(status): 0 for status in RunStatus if status is not RunStatus.TIMED_OUT}
    return counts | {status: int(runs) for status, runs in (await session.execute(query)).all()}


async def workflows_by_status(session: AsyncSession) -> dict[str, int]:
    """Count workflows by their status; a status that none has counts 0."""
    query = select(Workflow.status, func.count()).group_by(Workflow.status)
    counts = {str(status.value): 0 for status in WorkflowStatus}
    return counts | {status: int(rows) for status, rows in (await session.execute(query)).all()}


async def oldest_waiting_run(session: AsyncSession) -> datetime | None:
    """Return when the oldest run that waits was submitted, or None where none waits."""
    query = select(func.min(Run.created_at)).where(Run.status == RunStatus.PENDING)
    return (await session.scalars(query)).one()


async def oldest_waiting_workflow(session: AsyncSession) -> datetime | None:
    """Return when the oldest workflow that waits was submitted, or None where none waits."""
    query = select(func.min(Workflow.created_at)).where(Workflow.status == WorkflowStatus.PENDING)
    return (await session.scalars(query)).one()
