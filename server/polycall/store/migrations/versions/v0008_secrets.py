"""Secrets; versions that refer to them, and those that have some of their own.

Revision: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table; versions that are there have none."""
    op.create_table(
        "secrets",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("face", _TEXT, nullable=True),
        sa.Column("sealed", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_secrets_projects"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_secrets"),
    )
    op.create_index("ix_secrets_project", "secrets", ["project_id", "created_at", "id"])
    op.create_index("ix_secrets_name", "secrets", ["project_id", "name", "created_at", "id"])
    op.add_column("versions", sa.Column("secret_env", _TEXT, nullable=True))
    op.add_column("versions", sa.Column("secrets", _TEXT, nullable=True))
