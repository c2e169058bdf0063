"""Large values may lie in an object store.

Revision: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add where a value is; all that are there are in the database."""
    op.add_column("blobs", sa.Column("place", _TEXT, nullable=True))
    op.create_index(
        "ix_blobs_place",
        "blobs",
        ["place"],
        sqlite_where=sa.text("place IS NOT NULL"),
        postgresql_where=sa.text("place IS NOT NULL"),
    )
    op.create_index("ix_environments_upload", "environments", ["upload"])
