"""What every table shares: names of constraints, instants in UTC, leases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    MetaData,
    String,
    TypeDecorator,
    type_coerce,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from landloom.server.kit.clock import to_wire

ID_LENGTH = 32

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """An instant in UTC. A database without time zones keeps the UTC clock face."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into what the database stores."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database stored into an aware datetime in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _WireText(TypeDecorator[str]):
    """An instant as the API writes it, `YYYY-MM-DDTHH:MM:SS.ffffffZ`, for columns that are shown.

    SQLite keeps the UTC clock face as text of the same width, so nothing needs to be parsed.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Take what SQLite keeps as it is."""
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else self.impl_instance)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Turn what the database stored into what is sent."""
        del dialect
        if value is None:
            return None
        return f"{value[:10]}T{value[11:]}Z" if isinstance(value, str) else to_wire(value)


def as_wire(column: Any) -> Any:
    """Return a column of instants as text, under its own name."""
    return type_coerce(column, _WireText()).label(column.key)


class Base(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Instant(),
        dict[str, Any]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
    }


class Identified:
    """A row with an id of its own and the instants of its making and last change."""

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OfOrganization:
    """A row that one organization owns. `Database` keeps callers to the rows of their own."""

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))


class Leased:
    """A row that is work to do: whoever holds its lease may write what became of it."""

    status: Mapped[str] = mapped_column(String(16))
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    """Server process that holds the lease."""
    lease_token: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
