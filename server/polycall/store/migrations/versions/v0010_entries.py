"""Values that code keeps, and how much each project has of them.

Revision: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "entries",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("space", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "space", "key", name="pk_entries"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_entries_projects"),
    )
    op.create_index(
        "ix_entries_expiry",
        "entries",
        ["project_id", "expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_table(
        "entry_totals",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_entry_totals"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_entry_totals_projects"),
    )
