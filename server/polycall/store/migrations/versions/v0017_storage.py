"""How much a project stores is known: texts of rows by their size, and which large values are sources or files.

Revision: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

# what has texts of callers, and where
_TEXTS = {
    "packages": ("display_name", "description", "labels", "alias", "face_data"),
    "versions": (
        *("functions", "limits", "env", "runtime", "created_by", "error", "face_data", "egress", "warm", "secret_env"),
        *("secrets", "adapter"),
    ),
    "face_objects": ("data",),
    "schedules": ("function", "cron", "timezone", "limits", "display_name", "description", "face_data", "input"),
}


def upgrade() -> None:
    """Add columns and indexes, and fill them from what is there."""
    op.add_column("blobs", sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.text("false")))
    op.execute(
        "UPDATE blobs SET counted = true WHERE "
        "EXISTS (SELECT 1 FROM versions v WHERE v.project_id = blobs.project_id AND v.bundle = blobs.sha256) OR "
        "EXISTS (SELECT 1 FROM face_objects o WHERE o.project_id = blobs.project_id AND o.blob = blobs.sha256)"
    )
    op.create_index(
        "ix_blobs_counted",
        "blobs",
        ["project_id", "size", "counted"],
        sqlite_where=sa.text("counted"),
        postgresql_where=sa.text("counted"),
    )
    length = "octet_length({})" if op.get_bind().dialect.name == "postgresql" else "length(CAST({} AS BLOB))"
    for table, columns in _TEXTS.items():
        op.add_column(table, sa.Column("size", sa.Integer, nullable=False, server_default=sa.text("0")))
        size = " + ".join(f"COALESCE({length.format(column)}, 0)" for column in columns)
        op.execute(f"UPDATE {table} SET size = {size}")  # noqa: S608 - names of ours
        op.create_index(f"ix_{table}_size", table, ["project_id", "size"])
