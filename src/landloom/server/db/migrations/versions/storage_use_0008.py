"""How much lies where, and which workflows' temporary outputs are gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from landloom.server.db.base import ID_LENGTH, Instant

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table; columns are added in place, so triggers stay."""
    op.add_column("workflows", sa.Column("outputs_removed_at", Instant(), nullable=True))
    op.add_column(
        "workflows",
        sa.Column("temporary", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.execute(
        "UPDATE workflows SET temporary = true"
        " WHERE output_uri LIKE '%/data/customer-' || user_id || '/rasterflow/' || id || '/'"
    )
    op.create_index(
        "ix_workflows_expiry", "workflows", ["temporary", "outputs_removed_at", "completed_at"]
    )
    op.create_table(
        "storage_use",
        sa.Column("id", sa.String(ID_LENGTH), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("organization_id", sa.String(ID_LENGTH), nullable=False),
        sa.Column("user_id", sa.String(ID_LENGTH), nullable=False),
        sa.Column("prefix", sa.String(255), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("folders", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("measured_at", Instant(), nullable=True),
        sa.Column("measured_seconds", sa.Double(), nullable=False),
        sa.Column("written_until", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_storage_use_organization_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_storage_use_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_use")),
        sa.UniqueConstraint(
            "organization_id", "prefix", name=op.f("uq_storage_use_organization_id_prefix")
        ),
    )


def downgrade() -> None:
    """Take both away."""
    op.drop_table("storage_use")
    op.drop_index("ix_workflows_expiry", "workflows")
    op.drop_column("workflows", "temporary")
    op.drop_column("workflows", "outputs_removed_at")
