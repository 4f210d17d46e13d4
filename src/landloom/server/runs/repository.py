"""Queries on runs and their events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.kit.paging import Cursor, Position
from landloom.server.runs.states import AppStatus, EventCode, RunStatus
from landloom.server.runs.tables import Run, RunEvent


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a listing shows. None and empty are no condition."""

    name: str | None = None
    """A name; one `*` in it stands for any run of characters."""
    created_after: datetime | None = None
    """Exclusive."""
    statuses: tuple[RunStatus, ...] = ()
    """Any of these; TIMED_OUT finds the failed runs that ran out of time."""
    region: str | None = None


async def find(session: AsyncSession, run_id: str) -> Run | None:
    """Return a run with its owner and events."""
    return (await session.scalars(_whole().where(Run.id == run_id))).first()


async def exists(session: AsyncSession, run_id: str) -> bool:
    """Say whether there is such a run."""
    return (await session.scalars(select(Run.id).where(Run.id == run_id))).first() is not None


async def count(session: AsyncSession, wanted: RunFilter) -> int:
    """Count the runs of a listing."""
    query = _filtered(select(func.count()).select_from(Run), wanted)
    return (await session.scalars(query)).one()


async def read(
    session: AsyncSession, wanted: RunFilter, cursor: Cursor | None, limit: int
) -> Sequence[Run]:
    """Return up to `limit` runs from the cursor on, in its direction, nearest first."""
    query = _filtered(_whole(), wanted)
    backwards = cursor is not None and cursor.backwards
    if cursor is not None:
        query = query.where(_beyond(cursor))
    order = (
        (Run.created_at.asc(), Run.id.asc())
        if backwards
        else (Run.created_at.desc(), Run.id.desc())
    )
    return (await session.scalars(query.order_by(*order).limit(limit))).all()


def place(run: Run) -> Position:
    """Return where a run stands in the listing."""
    return Position(run.created_at, run.id)


async def request_cancel(session: AsyncSession, run_id: str) -> bool:
    """Note that a run's end is asked for; say whether this was the first time and it still goes.

    A run that waits is cancelled by this alone: whoever prepares it can start it no more.
    """
    at = now()
    noted = await session.execute(
        update(Run)
        .where(Run.id == run_id, Run.cancel_requested_at.is_(None), Run.status.in_(_UNFINISHED))
        .values(cancel_requested_at=at, updated_at=at)
    )
    if not _changed(noted):
        return False
    add_event(session, run_id, EventCode.RUN_CANCEL_REQUESTED, "The run's end was asked for.")
    waiting = (Run.id == run_id, Run.status == RunStatus.PENDING)
    # A workload that is being prepared goes with its run; one that is not there stays so.
    await session.execute(
        update(Run).where(*waiting, Run.app_id.is_not(None)).values(app_status=AppStatus.DESTROYED)
    )
    await session.execute(
        update(Run)
        .where(*waiting)
        .values(status=RunStatus.CANCELLED, completed_at=at, updated_at=at)
    )
    return True


def add_event(
    session: AsyncSession,
    run_id: str,
    code: EventCode,
    message: str,
    meta: dict[str, Any] | None = None,
) -> None:
    """Add to what happened to a run."""
    at = now()
    session.add(
        RunEvent(
            id=new_id(),
            created_at=at,
            updated_at=at,
            run_id=run_id,
            code=code,
            message=message,
            meta=meta,
        )
    )


_UNFINISHED = (RunStatus.PENDING, RunStatus.RUNNING)


def _whole() -> Select[Run]:
    return select(Run).options(joinedload(Run.owner), selectinload(Run.events))


def _filtered[S: Select[Any]](query: S, wanted: RunFilter) -> S:
    if wanted.name is not None:
        query = query.where(_named(wanted.name))
    if wanted.created_after is not None:
        query = query.where(Run.created_at > wanted.created_after)
    if wanted.statuses:
        query = query.where(or_(*map(_in_status, wanted.statuses)))
    if wanted.region is not None:
        query = query.where(Run.region == wanted.region)
    return query


def _named(name: str) -> Any:
    if "*" not in name:
        return Run.name == name
    pattern = name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("*", "%")
    return Run.name.like(pattern, escape="\\")


def _in_status(status: RunStatus) -> Any:
    if status is RunStatus.TIMED_OUT:
        return Run.timed_out.is_(True)
    return Run.status == status


def _beyond(cursor: Cursor) -> Any:
    key = tuple_(Run.created_at, Run.id)
    at = tuple_(cursor.position.at, cursor.position.id)
    match cursor.backwards, cursor.inclusive:
        case False, False:
            return key < at
        case False, True:
            return key <= at
        case True, False:
            return key > at
        case _:
            return key >= at


def _changed(result: Any) -> bool:
    return int(result.rowcount) > 0
