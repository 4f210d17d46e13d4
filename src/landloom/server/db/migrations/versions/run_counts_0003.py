"""Counters of runs by organization and status, kept by triggers.

A migration that makes the table of runs anew (SQLite cannot alter most things in place) loses the
triggers: it must call `add_triggers` again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNT_NEW = """
INSERT INTO run_counts (organization_id, status, runs) VALUES (NEW.organization_id, NEW.status, 1)
ON CONFLICT (organization_id, status) DO UPDATE SET runs = run_counts.runs + 1;"""
_COUNT_OLD = """
UPDATE run_counts SET runs = runs - 1
WHERE organization_id = OLD.organization_id AND status = OLD.status;"""

_CHANGES = {
    "insert": ("AFTER INSERT ON runs", "", _COUNT_NEW),
    "update": (
        "AFTER UPDATE OF status ON runs",
        "WHEN (OLD.status <> NEW.status)",
        # The old status first: statuses only go forward, so writers never wait in a circle.
        _COUNT_OLD + _COUNT_NEW,
    ),
    "delete": ("AFTER DELETE ON runs", "", _COUNT_OLD),
}


def upgrade() -> None:
    """Make the counters, count what is there, and keep counting."""
    op.create_table(
        "run_counts",
        sa.Column(
            "organization_id",
            sa.String(32),
            sa.ForeignKey("organizations.id", name="fk_run_counts_organization_id"),
            nullable=False,
        ),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "status", name="pk_run_counts"),
    )
    op.execute(
        "INSERT INTO run_counts (organization_id, status, runs)"
        " SELECT organization_id, status, count(*) FROM runs GROUP BY organization_id, status"
    )
    add_triggers()


def downgrade() -> None:
    """Stop counting."""
    for change in _CHANGES:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP TRIGGER runs_counted_{change} ON runs")
            op.execute(f"DROP FUNCTION count_runs_{change}()")
        else:
            op.execute(f"DROP TRIGGER runs_counted_{change}")
    op.drop_table("run_counts")


def add_triggers() -> None:
    """Count every run that comes, goes or changes its status, in the transaction that does it."""
    for change, (event, condition, body) in _CHANGES.items():
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE FUNCTION count_runs_{change}() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN {body} RETURN NULL; END $$"
            )
            op.execute(
                f"CREATE TRIGGER runs_counted_{change} {event} FOR EACH ROW {condition}"
                f" EXECUTE FUNCTION count_runs_{change}()"
            )
        else:
            op.execute(
                f"CREATE TRIGGER runs_counted_{change} {event} FOR EACH ROW {condition}"
                f" BEGIN {body} END"
            )
