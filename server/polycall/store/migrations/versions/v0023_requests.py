"""Versions keep the id of the request that made them.

Revision: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_HAS_ONE = sa.text("request_id IS NOT NULL")


def upgrade() -> None:
    """Add it; versions that are there were made for no request that anybody repeats."""
    op.add_column("versions", sa.Column("request_id", _TEXT, nullable=True))
    op.create_index(
        "uq_versions_request",
        "versions",
        ["project_id", "package_id", "request_id"],
        unique=True,
        sqlite_where=_HAS_ONE,
        postgresql_where=_HAS_ONE,
    )
