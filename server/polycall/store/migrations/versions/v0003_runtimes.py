"""Runtimes and their revisions.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "runtimes",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("face_data", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_runtimes_projects"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_runtimes"),
    )
    op.create_index("ix_runtimes_project", "runtimes", ["project_id", "created_at", "id"])
    op.create_table(
        "runtime_revisions",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("runtime_id", _TEXT, nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("manifest_kind", _TEXT, nullable=False),
        sa.Column("manifest", _TEXT, nullable=False),
        sa.Column("additional_imports", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("preload", _TEXT, nullable=False),
        sa.Column("log", _TEXT, nullable=False),
        sa.Column("log_truncated", sa.Boolean(), nullable=False),
        sa.Column("error", _TEXT, nullable=True),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id", "runtime_id"],
            ["runtimes.project_id", "runtimes.id"],
            name="fk_runtime_revisions_runtimes",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_runtime_revisions"),
    )
    op.create_index(
        "ix_runtime_revisions_runtime", "runtime_revisions", ["project_id", "runtime_id", "created_at", "id"]
    )
    op.create_index("ix_runtime_revisions_state", "runtime_revisions", ["state", "created_at"])
