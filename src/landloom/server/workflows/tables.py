"""The table of raster workflows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from landloom.server.db.leases import LeasedRow


class Workflow(LeasedRow):
    """A raster workflow; while it waits, its row is its place in the queue."""

    __tablename__ = "workflows"
    __table_args__ = (
        Index("ix_workflows_listing", "organization_id", "created_at", "id"),
        Index("ix_workflows_queue", "status", "created_at", "id"),
        Index("ix_workflows_expiry", "temporary", "outputs_removed_at", "completed_at"),
        UniqueConstraint("user_id", "idempotency_key"),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"), index=True)
    """The run that asked for it, known by its key."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    """What a client sends with each try of one POST."""
    kind: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]]
    output_uri: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    temporary: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether its outputs lie in temporary storage: it named no bucket for them."""
    outputs_removed_at: Mapped[datetime | None]
    """When its temporary outputs were deleted, their time being over."""
