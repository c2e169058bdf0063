"""Versions say what of a face their runs get.

Revision: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add it; what is there gets nothing."""
    op.add_column("versions", sa.Column("adapter", _TEXT, nullable=True))
