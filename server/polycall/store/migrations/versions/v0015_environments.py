"""Servers keep the environments that they have built for each other.

Revision: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add both tables, and an index by which a sweep finds who uses an environment."""
    op.create_table(
        "environments",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("owner", _TEXT, nullable=True),
        sa.Column("archive", _TEXT, nullable=True),
        sa.Column("upload", _TEXT, nullable=True),
        sa.Column("pieces", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("data_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_environments"),
    )
    op.create_table(
        "environment_pieces",
        sa.Column("upload", _TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("upload", "seq", name="pk_environment_pieces"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE environment_pieces ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_index("ix_runtime_revisions_digest", "runtime_revisions", ["digest"])
