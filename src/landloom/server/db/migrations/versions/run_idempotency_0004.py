"""What a client sends with each try of one POST of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; added in place, so the counters' triggers stay."""
    op.add_column("runs", sa.Column("idempotency_key", sa.String(255), nullable=True))
    op.create_index(
        "ix_runs_user_id_idempotency_key", "runs", ["user_id", "idempotency_key"], unique=True
    )


def downgrade() -> None:
    """Take the column away."""
    op.drop_index("ix_runs_user_id_idempotency_key", "runs")
    op.drop_column("runs", "idempotency_key")
