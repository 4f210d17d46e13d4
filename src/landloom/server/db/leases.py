"""Leases: rows are the queue, and one server process at a time holds a row.

A lease is a random token with an expiry. Its holder renews it; whoever finds it expired may take
the row. Every background write names the token, so a holder that slept too long writes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from landloom.server.db.base import Base, Identified, Leased, OfOrganization
from landloom.server.kit.clock import now
from landloom.server.kit.ids import new_id

_LONGEST: Final = timedelta(minutes=10)
"""No lease that is renewed while its holder lives is given for longer, unless ours are."""
_SILENT: Final = "30s"
"""After that PostgreSQL ends the session of a server that is alone and says nothing."""


class LeasedRow(Base, Identified, OfOrganization, Leased):
    """A table of work: what runs and workflows have in common."""

    __abstract__ = True


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one row."""

    row_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Renewal:
    """What renewing found."""

    held: frozenset[str]
    """Row ids still held."""
    cancelled: frozenset[str]
    """Those among them whose end has been asked for."""


class Leases[Row: LeasedRow]:
    """Takes, renews and gives back leases on the rows of one table."""

    def __init__(self, table: type[Row], *, owner: str, seconds: float) -> None:
        self._table = table
        self._owner = owner
        self._length = timedelta(seconds=seconds)

    async def free(
        self,
        session: AsyncSession,
        status: str,
        *conditions: ColumnElement[bool],
        limit: int,
        but: Sequence[str] = (),
    ) -> list[Row]:
        """Return rows of this status that nobody holds, oldest first."""
        table = self._table
        query: Select[Row] = (
            select(table)
            .where(table.status == status, self._unheld(), table.id.not_in(but), *conditions)
            .order_by(table.created_at, table.id)
            .limit(limit)
        )
        return list((await session.scalars(query)).all())

    async def alone(self, session: AsyncSession) -> None:
        """Wait till no other server takes rows of this table; none does till the session's end.

        What is read after this is what the last one left: of room that is counted and then given,
        nothing is given twice.
        """
        if session.get_bind().dialect.name == "sqlite":
            return  # One that writes is alone already.
        # A server that falls silent here, with its machine perhaps, must not stop the others.
        patience = func.set_config("idle_in_transaction_session_timeout", _SILENT, True)
        name = f"landloom {self._table.__tablename__}"
        lock = func.pg_advisory_xact_lock(zlib.crc32(name.encode()))
        await session.execute(select(patience, lock))

    async def take(self, session: AsyncSession, row_id: str, status: str) -> Lease | None:
        """Take the lease of a row that still has this status, or None if another was faster."""
        lease = Lease(row_id, new_id())
        taken = await session.execute(
            update(self._table)
            .where(self._table.id == row_id, self._table.status == status, self._unheld())
            .values(
                lease_owner=self._owner,
                lease_token=lease.token,
                lease_expires_at=now() + self._length,
            )
        )
        return lease if _changed(taken) else None

    async def read(self, session: AsyncSession, lease: Lease) -> Row | None:
        """Return the leased row, or None where the lease is lost."""
        return (await session.scalars(select(self._table).where(self.holds(lease)))).first()

    async def renew(self, session: AsyncSession, leases: Sequence[Lease]) -> Renewal:
        """Renew these leases, and tell which are lost and which rows are to be cancelled."""
        table = self._table
        tokens = [lease.token for lease in leases]
        await session.execute(
            update(table)
            .where(table.lease_token.in_(tokens))
            .values(lease_expires_at=now() + self._length)
        )
        rows = (
            await session.execute(
                select(table.id, table.cancel_requested_at).where(table.lease_token.in_(tokens))
            )
        ).all()
        return Renewal(
            held=frozenset(row.id for row in rows),
            cancelled=frozenset(row.id for row in rows if row.cancel_requested_at is not None),
        )

    async def write(
        self, session: AsyncSession, lease: Lease, *statuses: str, **values: Any
    ) -> bool:
        """Set columns of a held row that has one of `statuses`, none given being any.

        Returns:
            Whether the lease, and the status, still stood.
        """
        statement = update(self._table).where(self.holds(lease))
        if statuses:
            statement = statement.where(self._table.status.in_(statuses))
        return _changed(await session.execute(statement.values(**values)))

    async def give_back(self, session: AsyncSession, lease: Lease) -> None:
        """End a lease; the row is free at once."""
        await self.write(session, lease, lease_owner=None, lease_token=None, lease_expires_at=None)

    async def give_back_all(self, session: AsyncSession) -> None:
        """End every lease of this owner: those that it held before it was killed."""
        await session.execute(
            update(self._table)
            .where(self._table.lease_owner == self._owner)
            .values(lease_owner=None, lease_token=None, lease_expires_at=None)
        )

    def holds(self, lease: Lease) -> Any:
        """Return the condition that a row is held by this lease."""
        return and_(self._table.id == lease.row_id, self._table.lease_token == lease.token)

    def _unheld(self) -> Any:
        expiry: InstrumentedAttribute[Any] = self._table.lease_expires_at
        at = now()
        # Later than any lease can end: it was given before the clocks were set back.
        impossible = at + max(_LONGEST, 2 * self._length)
        return or_(self._table.lease_token.is_(None), expiry < at, expiry > impossible)


def _changed(result: Any) -> bool:
    return int(result.rowcount) > 0
