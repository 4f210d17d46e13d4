"""Whose run started when: users take turns, so the latest start of each is asked for often."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_runs_user_id_started_at", "runs", ["user_id", "started_at"])


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_runs_user_id_started_at", "runs")
