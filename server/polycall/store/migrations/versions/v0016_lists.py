"""What has ended is found by state, in lists of every kind.

Revision: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_ENDED = "state NOT IN (0, 1)"
_OF_PACKAGE = f"{_ENDED} AND package_id IS NOT NULL"
_OLD = ("ix_executions_package", "ix_executions_failed", "ix_executions_package_failed", "ix_executions_schedule")


def upgrade() -> None:
    """Make the indexes; it takes some 20 s for a million executions."""
    for name in _OLD:
        op.drop_index(name, "executions")
    for name, places, where in (
        ("ix_executions_state", (), _ENDED),
        ("ix_executions_package", ("package_id",), _OF_PACKAGE),
        ("ix_executions_function", ("package_id", "function"), _OF_PACKAGE),
        ("ix_executions_version", ("package_id", "version_id"), _OF_PACKAGE),
        ("ix_executions_version_function", ("package_id", "version_id", "function"), _OF_PACKAGE),
        ("ix_executions_face", ("face",), f"{_ENDED} AND face IS NOT NULL"),
        ("ix_executions_schedule", ("schedule_id",), f"{_ENDED} AND schedule_id IS NOT NULL"),
    ):
        columns = ["project_id", *places, "state", "id"]
        op.create_index(name, "executions", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
