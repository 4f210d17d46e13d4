"""Tables of organizations, users, roles and API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Column, ForeignKey, Index, String, Table, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from landloom.server.db.base import ID_LENGTH, Base, Identified, OfOrganization

HUMAN: Final = "HUMAN"
SERVICE: Final = "SERVICE"

ACTIVE: Final = "ACTIVE"
SUSPENDED: Final = "SUSPENDED"
CLOSED: Final = "CLOSED"

type OrganizationState = Literal["ACTIVE", "SUSPENDED", "CLOSED"]


class Organization(Base, Identified):
    """Whose runs, files and users belong together."""

    __tablename__ = "organizations"

    name: Mapped[str] = mapped_column(String(255))
    file_store_id: Mapped[str] = mapped_column(String(ID_LENGTH))
    default_region: Mapped[str | None] = mapped_column(String(64))
    """None follows the server's setting."""
    default_runtime: Mapped[str | None] = mapped_column(String(32))
    state: Mapped[OrganizationState] = mapped_column(
        String(16), default=ACTIVE, server_default=ACTIVE
    )
    """`ACTIVE`, `SUSPENDED` or `CLOSED`; but for the first, its keys open nothing."""
    operates: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether its administrators run the platform: the organization that `landloom up` made."""


user_roles = Table(
    "user_roles",
    Base.metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
)
"""Who has which role."""


class Role(Base, Identified, OfOrganization):
    """A named set of policies within an organization."""

    __tablename__ = "roles"
    __table_args__ = (Index("ix_roles_organization_id", "organization_id"),)

    name: Mapped[str] = mapped_column(String(64))
    policies: Mapped[list[dict[str, Any]]]


class User(Base, Identified, OfOrganization):
    """A principal: a person, or a service that acts for nobody in particular."""

    __tablename__ = "users"
    __table_args__ = (Index("ix_users_organization_id", "organization_id"),)

    kind: Mapped[str] = mapped_column(String(16), default=HUMAN, server_default=HUMAN)
    """`HUMAN` or `SERVICE`."""
    email: Mapped[str] = mapped_column(String(320))
    """Empty for a service."""
    name: Mapped[str | None] = mapped_column(String(255))
    disabled_at: Mapped[datetime | None]
    """While it is set, the principal's keys open nothing."""
    deleted_at: Mapped[datetime | None]
    """A removed principal stays as a row, because its runs name it."""
    roles: Mapped[list[Role]] = relationship(secondary=user_roles, lazy="selectin")


class ApiKey(Base, Identified, OfOrganization):
    """A key, by its digest. The clear key is shown once and kept nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_user_id_created_at", "user_id", "created_at"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    run_id: Mapped[str | None] = mapped_column(String(ID_LENGTH), index=True)
    """The run this key was made for; None is a key of a person's own."""
    created_by_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """The principal that made it: its owner, or an administrator."""
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    preview: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
