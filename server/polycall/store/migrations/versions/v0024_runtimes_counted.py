"""What runtimes and their revisions hold counts as what a project stores.

Revision: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

# what has texts of callers or of builds, and where
_TEXTS = {
    "runtimes": ("id", "display_name", "face_data"),
    "runtime_revisions": ("id", "manifest", "additional_imports", "preload", "log", "error"),
}


def upgrade() -> None:
    """Add columns and indexes, and fill them from what is there."""
    length = "octet_length({})" if op.get_bind().dialect.name == "postgresql" else "length(CAST({} AS BLOB))"
    for table, columns in _TEXTS.items():
        op.add_column(table, sa.Column("size", sa.Integer, nullable=False, server_default=sa.text("0")))
        size = " + ".join(f"COALESCE({length.format(column)}, 0)" for column in columns)
        op.execute(f"UPDATE {table} SET size = {size}")  # noqa: S608 - names of ours
        op.create_index(f"ix_{table}_size", table, ["project_id", "size"])
