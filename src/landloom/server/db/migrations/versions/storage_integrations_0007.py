"""Storage integrations: S3 locations elsewhere, their secrets sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from landloom.server.db.base import ID_LENGTH, Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "storage_integrations",
        sa.Column("id", sa.String(ID_LENGTH), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("organization_id", sa.String(ID_LENGTH), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(64), nullable=False),
        sa.Column("bucket", sa.String(255), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("addressing", sa.String(16), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("access_key", sa.String(255), nullable=True),
        sa.Column("sealed_secret", sa.Text(), nullable=True),
        sa.Column("role_arn", sa.Text(), nullable=True),
        sa.Column("trusted_account_ids", sa.Text(), nullable=False),
        sa.Column("created_by_id", sa.String(ID_LENGTH), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_storage_integrations_organization_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_integrations")),
        sa.UniqueConstraint(
            "organization_id", "name", name=op.f("uq_storage_integrations_organization_id_name")
        ),
        sa.UniqueConstraint(
            "organization_id",
            "profile",
            name=op.f("uq_storage_integrations_organization_id_profile"),
        ),
    )


def downgrade() -> None:
    """Take the table away."""
    op.drop_table("storage_integrations")
