"""Accounts that are switched off, the organization that operates, and what an hour of a run costs.

All columns are added in place, so the counters' triggers stay.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from landloom.server.db.base import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the oldest organization is the one that `landloom up` made."""
    op.add_column(
        "organizations",
        sa.Column("state", sa.String(16), nullable=False, server_default="ACTIVE"),
    )
    op.add_column(
        "organizations",
        sa.Column("operates", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.execute(
        "UPDATE organizations SET operates = true WHERE id ="
        " (SELECT id FROM organizations ORDER BY created_at, id LIMIT 1)"
    )
    op.add_column("users", sa.Column("disabled_at", Instant(), nullable=True))
    op.add_column("users", sa.Column("deleted_at", Instant(), nullable=True))
    op.add_column("runs", sa.Column("spatial_units_per_hour", sa.Double(), nullable=True))
    op.add_column("runs", sa.Column("usd_per_spatial_unit", sa.Double(), nullable=True))
    op.create_index("ix_runs_app_id", "runs", ["app_id"])


def downgrade() -> None:
    """Take the columns away."""
    op.drop_index("ix_runs_app_id", "runs")
    op.drop_column("runs", "usd_per_spatial_unit")
    op.drop_column("runs", "spatial_units_per_hour")
    op.drop_column("users", "deleted_at")
    op.drop_column("users", "disabled_at")
    op.drop_column("organizations", "operates")
    op.drop_column("organizations", "state")
