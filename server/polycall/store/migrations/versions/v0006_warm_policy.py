"""Versions say how many warm workers they have.

Revision: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the policy; what is there has none of its own."""
    op.add_column("versions", sa.Column("warm", _TEXT, nullable=True))
