"""Organizations, users, roles, API keys, runs and their events, raster workflows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from landloom.server.db.base import Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _accounts()
    _keys()
    _runs()
    _workflows()


def downgrade() -> None:
    """Drop the tables."""
    for table in (
        "workflows",
        "run_events",
        "runs",
        "api_keys",
        "user_roles",
        "users",
        "roles",
        "organizations",
    ):
        op.drop_table(table)


def _accounts() -> None:
    op.create_table(
        "organizations",
        *_identified("organizations"),
        _text("name", 255),
        _text("file_store_id", 32),
        _text("default_region", 64, nullable=True),
        _text("default_runtime", 32, nullable=True),
    )
    op.create_table(
        "roles",
        *_identified("roles"),
        *_reference("roles", "organization_id", "organizations"),
        _text("name", 64),
        _json("policies"),
    )
    op.create_index("ix_roles_organization_id", "roles", ["organization_id"])
    op.create_table(
        "users",
        *_identified("users"),
        *_reference("users", "organization_id", "organizations"),
        _text("email", 320),
        _text("name", 255, nullable=True),
    )
    op.create_index("ix_users_organization_id", "users", ["organization_id"])
    op.create_table(
        "user_roles",
        *_reference("user_roles", "user_id", "users", ondelete="CASCADE"),
        *_reference("user_roles", "role_id", "roles", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "role_id", name="pk_user_roles"),
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        *_identified("api_keys"),
        *_reference("api_keys", "organization_id", "organizations"),
        *_reference("api_keys", "user_id", "users"),
        _text("run_id", 32, nullable=True),
        _text("name", 64),
        _text("digest", 64),
        _text("preview", 32),
        _instant("expires_at", nullable=True),
        _instant("revoked_at", nullable=True),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_index("ix_api_keys_run_id", "api_keys", ["run_id"])
    op.create_index("ix_api_keys_user_id_created_at", "api_keys", ["user_id", "created_at"])


def _runs() -> None:
    op.create_table(
        "runs",
        *_identified("runs"),
        *_reference("runs", "organization_id", "organizations"),
        *_reference("runs", "user_id", "users"),
        *_leased(),
        _text("name", 255),
        _text("region", 64),
        _text("runtime", 32),
        _text("resolved_version", 64),
        _json("payload"),
        _text("source_client", 255, nullable=True),
        sa.Column("timed_out", sa.Boolean(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        _instant("started_at", nullable=True),
        _instant("completed_at", nullable=True),
        _text("app_id", 32, nullable=True),
        _text("app_status", 32, nullable=True),
        _instant("app_created_at", nullable=True),
    )
    _work_indexes("runs")
    op.create_table(
        "run_events",
        *_identified("run_events"),
        *_reference("run_events", "run_id", "runs", ondelete="CASCADE"),
        _text("code", 64),
        sa.Column("message", sa.Text(), nullable=False),
        _json("meta", nullable=True),
    )
    op.create_index("ix_run_events_run_id_created_at", "run_events", ["run_id", "created_at"])


def _workflows() -> None:
    op.create_table(
        "workflows",
        *_identified("workflows"),
        *_reference("workflows", "organization_id", "organizations"),
        *_reference("workflows", "user_id", "users"),
        *_reference("workflows", "run_id", "runs", nullable=True),
        *_leased(),
        _text("idempotency_key", 255, nullable=True),
        _text("kind", 64),
        _json("request"),
        sa.Column("output_uri", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        _json("result", nullable=True),
        _json("error", nullable=True),
        _instant("started_at", nullable=True),
        _instant("completed_at", nullable=True),
        sa.UniqueConstraint(
            "user_id", "idempotency_key", name="uq_workflows_user_id_idempotency_key"
        ),
    )
    _work_indexes("workflows")
    op.create_index("ix_workflows_run_id", "workflows", ["run_id"])


def _identified(table: str) -> list[Any]:
    return [
        sa.Column("id", sa.String(32), nullable=False),
        _instant("created_at"),
        _instant("updated_at"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    ]


def _leased() -> list[Any]:
    return [
        _text("status", 16),
        _text("lease_owner", 255, nullable=True),
        _text("lease_token", 32, nullable=True),
        _instant("lease_expires_at", nullable=True),
        _instant("cancel_requested_at", nullable=True),
    ]


def _work_indexes(table: str) -> None:
    op.create_index(f"ix_{table}_listing", table, ["organization_id", "created_at", "id"])
    op.create_index(f"ix_{table}_queue", table, ["status", "created_at", "id"])
    op.create_index(f"ix_{table}_lease_token", table, ["lease_token"])


def _reference(
    table: str, column: str, target: str, *, nullable: bool = False, ondelete: str | None = None
) -> list[Any]:
    return [
        _text(column, 32, nullable=nullable),
        sa.ForeignKeyConstraint(
            [column], [f"{target}.id"], name=f"fk_{table}_{column}", ondelete=ondelete
        ),
    ]


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, Instant(), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=nullable)
