"""The table of what lies under each prefix of managed storage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from landloom.server.db.base import Base, Identified, OfOrganization


class StorageUse(Base, Identified, OfOrganization):
    """What was found under one prefix when it was last measured."""

    __tablename__ = "storage_use"
    __table_args__ = (UniqueConstraint("organization_id", "prefix"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    """Its owner if it is one's own, else who made it known."""
    prefix: Mapped[str] = mapped_column(String(255))
    """Ends with `/`."""
    is_own: Mapped[bool]
    """Whether it is that user's own; others are the organization's."""
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    objects: Mapped[int] = mapped_column(BigInteger, default=0)
    folders: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """`{"name", "bytes", "objects"}` of the largest folders right under it, largest first."""
    measured_at: Mapped[datetime | None]
    measured_seconds: Mapped[float] = mapped_column(default=0.0)
    """How long measuring took: the next time is not before a multiple of it."""
    written_until: Mapped[datetime]
    """Until when there may have been writes; what was measured later than that still holds."""
