"""Tables of runs and of what happened to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from landloom.server.db.base import ID_LENGTH, Base, Identified, OfOrganization
from landloom.server.db.leases import LeasedRow


class Run(LeasedRow):
    """A job run; while it waits, its row is its place in the queue."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_listing", "organization_id", "created_at", "id"),
        Index("ix_runs_app_id", "app_id"),
        Index("ix_runs_queue", "status", "created_at", "id"),
        Index("ix_runs_user_id_started_at", "user_id", "started_at"),
        Index("ix_runs_user_id_idempotency_key", "user_id", "idempotency_key", unique=True),
    )

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(255))
    region: Mapped[str] = mapped_column(String(64))
    runtime: Mapped[str] = mapped_column(String(32))
    resolved_version: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    """The normalised request."""
    source_client: Mapped[str | None] = mapped_column(String(255))
    """What the client said it is; advisory."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    """What a client sends with each try of one POST."""
    timed_out: Mapped[bool] = mapped_column(default=False)
    exit_code: Mapped[int | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    app_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    """Its workload; None before there is one."""
    app_status: Mapped[str | None] = mapped_column(String(32))
    app_created_at: Mapped[datetime | None]
    spatial_units_per_hour: Mapped[float | None]
    """Of its runtime when it was submitted; None for runs of before there was such a thing."""
    usd_per_spatial_unit: Mapped[float | None]
    """The operator's price when it was submitted; None where there was none."""


class RunCount(Base, OfOrganization):
    """How many runs of a status an organization has. Triggers keep it; nothing else writes it."""

    __tablename__ = "run_counts"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    runs: Mapped[int]


class RunEvent(Base, Identified):
    """One thing that happened to a run."""

    __tablename__ = "run_events"
    __table_args__ = (Index("ix_run_events_run_id_created_at", "run_id", "created_at"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any] | None]
