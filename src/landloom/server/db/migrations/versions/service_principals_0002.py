"""Service principals, who made a key, and the built-in roles by their names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; keys of before were made by their owners."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="HUMAN"))
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("created_by_id", sa.String(32), nullable=True))
    op.execute("UPDATE api_keys SET created_by_id = user_id")
    op.execute("UPDATE roles SET name = 'Admin' WHERE name = 'admin'")


def downgrade() -> None:
    """Take the columns away."""
    op.execute("UPDATE roles SET name = 'admin' WHERE name = 'Admin'")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_column("created_by_id")
    with op.batch_alter_table("users") as users:
        users.drop_column("kind")
