"""Queries on raster workflows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from landloom.server.kit.clock import now
from landloom.server.runs.states import RunStatus
from landloom.server.runs.tables import Run
from landloom.server.workflows.tables import Workflow
from landloom.wire.enums import WorkflowStatus

_UNFINISHED = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)
_MAX_LISTED = 1000


async def find(session: AsyncSession, workflow_id: str) -> Workflow | None:
    """Return a workflow."""
    return (await session.scalars(select(Workflow).where(Workflow.id == workflow_id))).first()


async def find_by_idempotency_key(session: AsyncSession, user_id: str, key: str) -> Workflow | None:
    """Return the workflow that an earlier try of the same POST made."""
    query = select(Workflow).where(Workflow.user_id == user_id, Workflow.idempotency_key == key)
    return (await session.scalars(query)).first()


async def newest(session: AsyncSession, run_id: str | None) -> Sequence[Workflow]:
    """Return workflows, newest first: those of a run, or of the session's organization."""
    query = select(Workflow)
    if run_id is not None:
        query = query.where(Workflow.run_id == run_id)
    query = query.order_by(Workflow.created_at.desc(), Workflow.id.desc()).limit(_MAX_LISTED)
    return (await session.scalars(query)).all()


async def run_is_open(session: AsyncSession, run_id: str) -> bool:
    """Say whether a run may still ask for work; its row is held until the session ends.

    Its script may ask before the server has seen that it began: on a cluster that takes a second.
    """
    query = (
        select(Run.id)
        .where(
            Run.id == run_id,
            Run.status.in_((RunStatus.PENDING, RunStatus.RUNNING)),
            Run.cancel_requested_at.is_(None),
        )
        .with_for_update()
    )
    return (await session.scalars(query)).first() is not None


async def request_cancel(session: AsyncSession, condition: Any) -> list[str]:
    """Ask for the end of the unfinished workflows that meet a condition; return their ids.

    One that waits is cancelled by this alone: nobody can start it any more.
    """
    at = now()
    meant = (condition, Workflow.status.in_(_UNFINISHED))
    ids = list((await session.scalars(select(Workflow.id).where(*meant))).all())
    if not ids:
        return []
    await session.execute(
        update(Workflow)
        .where(Workflow.id.in_(ids), Workflow.cancel_requested_at.is_(None))
        .values(cancel_requested_at=at, updated_at=at)
    )
    await session.execute(
        update(Workflow)
        .where(Workflow.id.in_(ids), Workflow.status == WorkflowStatus.PENDING)
        .values(
            status=WorkflowStatus.CANCELLED,
            message="Cancelled before it was started.",
            completed_at=at,
            updated_at=at,
        )
    )
    return ids


def with_id(workflow_id: str) -> Any:
    """Return the condition to be this workflow."""
    return Workflow.id == workflow_id


def of_run(run_id: str) -> Any:
    """Return the condition to belong to this run."""
    return Workflow.run_id == run_id


def waits() -> ColumnElement[bool]:
    """Return the condition that a workflow is nobody's but the queue's.

    One that was taken has its slot till it is given back: its server may be slow, not gone.
    """
    return and_(Workflow.status == WorkflowStatus.PENDING, Workflow.lease_token.is_(None))


async def busy(session: AsyncSession) -> Sequence[str]:
    """Return the ids of the workflows that have a slot, whichever server drives them."""
    query = select(Workflow.id).where(Workflow.status.in_(_UNFINISHED), ~waits())
    return (await session.scalars(query)).all()


async def waiting_before(session: AsyncSession, row: Workflow) -> int:
    """Count the workflows that are served before this one, up to a handful."""
    query = (
        select(Workflow.id)
        .where(
            Workflow.status.in_(_UNFINISHED),
            or_(
                Workflow.created_at < row.created_at,
                (Workflow.created_at == row.created_at) & (Workflow.id < row.id),
            ),
        )
        .limit(100)
    )
    return len((await session.scalars(query)).all())


async def temporary_before(
    session: AsyncSession, instant: datetime, after: tuple[datetime, str] | None, *, limit: int
) -> Sequence[Workflow]:
    """Return workflows that ended before an instant and whose temporary outputs are still there.

    Args:
        session: Of all organizations.
        instant: The end of those that are returned.
        after: End and id of the last one that was looked at; the oldest come first.
        limit: The most to return.
    """
    query = select(Workflow).where(
        Workflow.temporary,
        Workflow.outputs_removed_at.is_(None),
        Workflow.completed_at < instant,
    )
    if after is not None:
        query = query.where(
            or_(
                Workflow.completed_at > after[0],
                and_(Workflow.completed_at == after[0], Workflow.id > after[1]),
            )
        )
    query = query.order_by(Workflow.completed_at, Workflow.id).limit(limit)
    return (await session.scalars(query)).all()


async def is_used_since(session: AsyncSession, row: Workflow, instant: datetime) -> bool:
    """Say whether a workflow of the same user that ended later returned what this one made.

    One that found its outputs remembered returns those of the workflow that made them.
    """
    query = (
        select(Workflow.id)
        .where(
            Workflow.user_id == row.user_id,
            Workflow.id != row.id,
            or_(Workflow.completed_at >= instant, Workflow.completed_at.is_(None)),
            cast(Workflow.result, Text).contains(f"/{row.id}/", autoescape=True),
        )
        .limit(1)
    )
    return (await session.scalars(query)).first() is not None


async def mark_removed(session: AsyncSession, workflow_id: str, message: str) -> None:
    """Note that a workflow's outputs are gone."""
    await session.execute(
        update(Workflow)
        .where(Workflow.id == workflow_id)
        .values(outputs_removed_at=now(), message=message)
    )
