"""Queries on runs and their events."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from landloom.server.db.base import Instant, as_wire
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id
from landloom.server.kit.paging import Cursor, Position, Slice
from landloom.server.runs.rows import Busy, EventRow, RunPlace, RunRow, Waiting
from landloom.server.runs.states import HANDED_OVER, AppStatus, EventCode, RunStatus
from landloom.server.runs.tables import Run, RunCount, RunEvent


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

    @property
    def counted(self) -> bool:
        """Whether the counters by status know how many there are."""
        others = self.name is not None or self.created_after is not None or self.region is not None
        return not others and RunStatus.TIMED_OUT not in self.statuses


async def find(session: AsyncSession, run_id: str) -> RunRow | None:
    """Return a run."""
    row = (await session.execute(_SHOWN_ONE, {"run_id": run_id})).first()
    return RunRow._make(row) if row is not None else None


async def find_all(session: AsyncSession, run_ids: Sequence[str]) -> dict[str, RunRow]:
    """Return these runs by their ids."""
    rows = map(RunRow._make, await session.execute(_SHOWN_ALL, {"ids": run_ids}))
    return {row.id: row for row in rows}


async def find_by_idempotency_key(session: AsyncSession, user_id: str, key: str) -> str | None:
    """Return the id of the run that an earlier try of the same POST made."""
    query = select(Run.id).where(Run.user_id == user_id, Run.idempotency_key == key)
    return (await session.scalars(query)).first()


async def events(session: AsyncSession, run_ids: Sequence[str]) -> dict[str, list[EventRow]]:
    """Return what happened to each of these runs, oldest first."""
    found: dict[str, list[EventRow]] = {run_id: [] for run_id in run_ids}
    for row in map(EventRow._make, await session.execute(_EVENTS, {"ids": run_ids})):
        found[row.run_id].append(row)
    return found


async def exists(session: AsyncSession, run_id: str) -> bool:
    """Say whether there is such a run."""
    return (await session.scalars(select(Run.id).where(Run.id == run_id))).first() is not None


async def is_over(session: AsyncSession, run_id: str) -> bool:
    """Say whether a run has a final status."""
    query = select(Run.id).where(Run.id == run_id, Run.status.not_in(_UNFINISHED))
    return (await session.scalars(query)).first() is not None


async def count(session: AsyncSession, wanted: RunFilter) -> int:
    """Count the runs of a listing.

    By status alone, the counters tell, which triggers keep in the transaction of every change; any
    other condition is counted.
    """
    return int((await session.scalars(_count(wanted))).one())


@functools.lru_cache(maxsize=256)
def _count(wanted: RunFilter) -> Select[Any]:
    if not wanted.counted:
        return _filtered(select(func.count()).select_from(Run), wanted)
    total = select(func.coalesce(func.sum(RunCount.runs), 0))
    return total.where(RunCount.status.in_(wanted.statuses)) if wanted.statuses else total


async def read(
    session: AsyncSession, wanted: RunFilter, cursor: Cursor | None, limit: int
) -> Slice[RunPlace]:
    """Return up to `limit` runs from the cursor on, in its direction, nearest first."""
    if cursor is None:
        query, values = _page(wanted, None, limit), {}
    else:
        query = _page(wanted, (cursor.backwards, cursor.inclusive), limit)
        values = {"at": cursor.position.at, "at_id": cursor.position.id}
    rows = [RunPlace._make(row) for row in await session.execute(query, values)]
    return Slice(rows, bool(rows) and bool(rows[0].has_others))


@functools.lru_cache(maxsize=256)
def _page(wanted: RunFilter, way: tuple[bool, bool] | None, limit: int) -> Select[Any]:
    """Return the query of `read`: putting it together costs more than the database's answer.

    `way` is whether a cursor goes backwards and whether it includes its own row.
    """
    others: Any = false()
    if way is not None:
        beyond = _filtered(select(Run.id), wanted).where(_beyond(not way[0], not way[1]))
        others = beyond.exists()
    total: Any = _count(wanted).scalar_subquery() if wanted.counted else null()
    columns: Any = (
        Run.id,
        Run.created_at,
        as_wire(Run.updated_at),
        Run.user_id,
        others.label("has_others"),
        total.label("total"),
    )
    query = _filtered(select(*columns), wanted)
    backwards = way is not None and way[0]
    if way is not None:
        query = query.where(_beyond(*way))
    order = (
        (Run.created_at.asc(), Run.id.asc())
        if backwards
        else (Run.created_at.desc(), Run.id.desc())
    )
    return query.order_by(*order).limit(limit)


def place(run: RunPlace) -> Position:
    """Return where a run stands in the listing."""
    return Position(run.created_at, run.id)


async def queue(
    session: AsyncSession,
    millicores: Mapping[str, int],
    *,
    limit: int | None = None,
    only: Collection[str] = (),
) -> Sequence[Waiting]:
    """Return who waits, in the order in which they are to start.

    Users take turns: the next is the first in line of the user with the least CPU in use, and of
    those that hold the same, of the one whose last start is longest ago. Taking that again and
    again, as if nothing ended meanwhile, is to sort by what its user will hold when its turn comes:
    what runs now, and what that user has waiting before it.

    Args:
        session: One that sees all organizations.
        millicores: What each runtime counts, in thousandths of a core: whole numbers, so that
            users who hold the same tie.
        limit: So many at most.
        only: Only these runs, whose positions are those among all.
    """
    query = _queue(tuple(millicores.items()))
    if only:
        query = query.where(query.selected_columns.id.in_(only))
    found = await session.execute(query.limit(limit))
    return [Waiting._make(row) for row in found]


@functools.cache
def _queue(millicores: tuple[tuple[str, int], ...]) -> Select[Any]:
    """Return the query of `queue`: putting it together costs more than the database's answer."""
    cores = case(dict(millicores), value=Run.runtime, else_=1000)
    # Looked for once, by the index on the status; to group or number all runs by their users, the
    # database would rather walk through all that ever were.
    unfinished = (
        select(
            Run.id,
            Run.user_id,
            Run.runtime,
            Run.created_at,
            cores.label("cores"),
            waits().label("waits"),
        )
        .where(Run.status.in_(_UNFINISHED))
        .cte("unfinished")
    )
    used = (
        select(unfinished.c.user_id, func.sum(unfinished.c.cores).label("cores"))
        .where(~unfinished.c.waits)
        .group_by(unfinished.c.user_id)
        .subquery()
    )
    latest = aliased(Run)
    waiting_users = select(unfinished.c.user_id).where(unfinished.c.waits).distinct().subquery()
    began = select(
        waiting_users.c.user_id,
        select(func.max(latest.started_at))
        .where(latest.user_id == waiting_users.c.user_id)
        .scalar_subquery()
        .label("at"),
    ).subquery()
    line = func.sum(unfinished.c.cores).over(
        partition_by=unfinished.c.user_id,
        order_by=(unfinished.c.created_at, unfinished.c.id),
        rows=(None, 0),
    )
    turn = (
        select(
            unfinished.c.id,
            unfinished.c.runtime,
            unfinished.c.created_at,
            began.c.at,
            (func.coalesce(used.c.cores, 0) + line - unfinished.c.cores).label("turn"),
        )
        .join(began, began.c.user_id == unfinished.c.user_id)
        .outerjoin(used, used.c.user_id == unfinished.c.user_id)
        .where(unfinished.c.waits)
        .subquery()
    )
    order = (turn.c.turn, turn.c.at.is_not(None), turn.c.at, turn.c.created_at, turn.c.id)
    places = select(
        turn.c.id, turn.c.runtime, func.row_number().over(order_by=order).label("position")
    ).subquery()
    return select(places).order_by(places.c.position)


async def busy(session: AsyncSession) -> Sequence[Busy]:
    """Return the runs that have room on the machine, or in the cluster, whoever drives them."""
    query = select(Run.id, Run.runtime).where(Run.status.in_(_UNFINISHED), ~waits())
    return [Busy._make(row) for row in await session.execute(query)]


def waits() -> ColumnElement[bool]:
    """Return the condition that a run is nobody's but the queue's.

    One that was taken has its room till it is given back: its server may be slow, not gone.
    """
    return and_(Run.status == RunStatus.PENDING, Run.lease_token.is_(None), ~_is_handed_over())


def _is_handed_over() -> ColumnElement[bool]:
    """Return the condition that a launcher has a run that waits, or is about to have it."""
    return func.coalesce(Run.app_status, "").in_(HANDED_OVER)


async def request_cancel(session: AsyncSession, run_id: str) -> bool:
    """Note that a run's end is asked for; say whether this was the first time and it still goes.

    A run that waits in line is cancelled by this alone: whoever prepares it can start it no more.
    One that a launcher has is ended there first, for there it might begin.
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
    waiting = (Run.id == run_id, Run.status == RunStatus.PENDING, ~_is_handed_over())
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


_SHOWN_COLUMNS: Final[Any] = (
    Run.id,
    as_wire(Run.created_at),
    as_wire(Run.updated_at),
    Run.user_id,
    Run.name,
    Run.status,
    Run.region,
    Run.resolved_version,
    sql_cast(Run.payload, Text).label("payload"),
    as_wire(Run.started_at),
    as_wire(Run.completed_at),
    Run.app_id,
    Run.app_status,
    as_wire(Run.app_created_at),
)
_SHOWN: Final = select(*_SHOWN_COLUMNS)
_SHOWN_ONE: Final = _SHOWN.where(Run.id == bindparam("run_id"))
_SHOWN_ALL: Final = _SHOWN.where(Run.id.in_(bindparam("ids", expanding=True)))
_EVENT_COLUMNS: Final[Any] = (
    RunEvent.id,
    as_wire(RunEvent.created_at),
    as_wire(RunEvent.updated_at),
    RunEvent.run_id,
    RunEvent.code,
    RunEvent.message,
    RunEvent.meta,
)
_EVENTS: Final = (
    select(*_EVENT_COLUMNS)
    .where(RunEvent.run_id.in_(bindparam("ids", expanding=True)))
    .order_by(RunEvent.created_at, RunEvent.id)
)
"""Put together once; with fifty ids in it, a statement takes longer to make than to answer."""


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


def _beyond(backwards: bool, inclusive: bool) -> Any:  # noqa: FBT001 - a cursor's two flags
    key = tuple_(Run.created_at, Run.id)
    at = tuple_(bindparam("at", type_=Instant()), bindparam("at_id"))
    match backwards, inclusive:
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
