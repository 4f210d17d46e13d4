"""Queries on what an organization's workloads were and used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol, cast

from sqlalchemy import BigInteger, ColumnElement, Select, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from landloom.server.accounts.tables import User
from landloom.server.db.base import as_wire
from landloom.server.db.leases import LeasedRow
from landloom.server.runs.states import EventCode, RunStatus
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


class PastRun(NamedTuple):
    """The columns of a run in the history; instants as the API writes them."""

    id: str
    app_id: str | None
    created_at: str
    updated_at: str
    name: str
    status: str
    user_id: str
    started_at: str | None
    completed_at: str | None
    source_client: str | None
    runtime: str
    region: str
    is_cancelled: bool
    """Whether its end was asked for."""


class PastWorkflow(NamedTuple):
    """The columns of a workflow in the history; instants as the API writes them."""

    id: str
    created_at: str
    updated_at: str
    user_id: str
    run_id: str | None
    kind: str
    status: str
    message: str
    started_at: str | None
    completed_at: str | None
    is_cancelled: bool


class SliceUse(Protocol):
    """What runs of one kind used up in one slice of time."""

    number: int
    """Of the slice; 0 is the oldest."""
    user_id: str
    region: str
    runtime: str
    units: float | None
    """None where no run's rate is known."""


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
_HOUR: Final = 3_600_000.0
"""Milliseconds."""
_FAILURES = (EventCode.RUN_FAIL_EXEC, EventCode.RUN_FAIL_PREPARE)


async def runs_between(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> Sequence[PastRun]:
    """Return the runs that were submitted from `start` on and before `end`, newest first."""
    columns: Any = (
        Run.id,
        Run.app_id,
        as_wire(Run.created_at),
        as_wire(Run.updated_at),
        Run.name,
        Run.status,
        Run.user_id,
        as_wire(Run.started_at),
        as_wire(Run.completed_at),
        Run.source_client,
        Run.runtime,
        Run.region,
        Run.cancel_requested_at.is_not(None),
    )
    return [*map(PastRun._make, await _between(session, Run, columns, start, end, limit))]


async def failures_between(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> dict[str, str]:
    """Return why those of the runs that `runs_between` returns failed, by their ids."""
    shown = _newest(Run, (Run.id, Run.status), start, end, limit).subquery()
    query = (
        select(RunEvent.run_id, RunEvent.message)
        .join(shown, shown.c.id == RunEvent.run_id)
        .where(shown.c.status == RunStatus.FAILED, RunEvent.code.in_(_FAILURES))
    )
    rows: Any = (await session.execute(query)).all()
    return dict(rows)


async def workflows_between(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> Sequence[PastWorkflow]:
    """Return the workflows that were submitted from `start` on and before `end`, newest first."""
    columns: Any = (
        Workflow.id,
        as_wire(Workflow.created_at),
        as_wire(Workflow.updated_at),
        Workflow.user_id,
        Workflow.run_id,
        Workflow.kind,
        Workflow.status,
        Workflow.message,
        as_wire(Workflow.started_at),
        as_wire(Workflow.completed_at),
        Workflow.cancel_requested_at.is_not(None),
    )
    return [*map(PastWorkflow._make, await _between(session, Workflow, columns, start, end, limit))]


async def use_within(session: AsyncSession, edges: Sequence[datetime]) -> Sequence[SliceUse]:
    """Return what runs that began and ended within one slice of time used up, summed up there.

    A year of short runs is many rows, of which the database sends these sums alone.

    Args:
        session: Where to ask.
        edges: Those of the slices, all of one length, oldest first.
    """
    begun, ended = _slice_of(Run.started_at, edges), _slice_of(Run.completed_at, edges)
    hours = (_Milliseconds(Run.completed_at) - _Milliseconds(Run.started_at)) / _HOUR
    query = (
        select(
            begun.label("number"),
            Run.user_id,
            Run.region,
            Run.runtime,
            func.sum(Run.spatial_units_per_hour * hours).label("units"),
        )
        .where(Run.started_at >= edges[0], Run.completed_at.is_not(None), begun == ended)
        .group_by("number", Run.user_id, Run.region, Run.runtime)
    )
    rows: Any = (await session.execute(query)).all()
    return cast("Sequence[SliceUse]", rows)


async def runs_across(session: AsyncSession, edges: Sequence[datetime]) -> Sequence[RunFacts]:
    """Return the runs that `use_within` leaves out: those that go on, and that cross an edge."""
    begun, ended = _slice_of(Run.started_at, edges), _slice_of(Run.completed_at, edges)
    query = select(*_FACTS).where(
        Run.started_at.is_not(None),
        or_(
            Run.completed_at.is_(None),
            (Run.completed_at > edges[0]) & ((Run.started_at < edges[0]) | (begun != ended)),
        ),
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
    rows: Any = await session.execute(_newest(table, columns, start, end, limit))
    return list(rows)


def _newest(
    table: type[LeasedRow], columns: Sequence[Any], start: datetime, end: datetime, limit: int
) -> Select[Any]:
    return (
        select(*columns)
        .where(table.created_at >= start, table.created_at < end)
        .order_by(table.created_at.desc(), table.id.desc())
        .limit(limit)
    )


class _Milliseconds(FunctionElement[int]):
    """An instant of a column as whole milliseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Milliseconds, "sqlite")
def _on_sqlite(element: _Milliseconds, compiler: SQLCompiler, **given: Any) -> str:
    days = f"julianday({compiler.process(element.clauses, **given)}) - 2440587.5"
    return f"CAST(round(({days}) * 86400000.0) AS INTEGER)"


@compiles(_Milliseconds)
def _on_others(element: _Milliseconds, compiler: SQLCompiler, **given: Any) -> str:
    seconds = f"EXTRACT(EPOCH FROM {compiler.process(element.clauses, **given)})"
    return f"CAST(round({seconds} * 1000) AS BIGINT)"


def _slice_of(column: Any, edges: Sequence[datetime]) -> ColumnElement[int]:
    """Return the number of the slice that an instant from the first edge on lies in."""
    first, length = edges[0], edges[1] - edges[0]
    since = _Milliseconds(column) - int(first.timestamp() * 1000)
    return since // literal(length // timedelta(milliseconds=1), BigInteger())
