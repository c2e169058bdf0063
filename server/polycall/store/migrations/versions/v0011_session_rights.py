"""Sessions say whose rights they have.

Revision: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; sessions that are there live for an hour at most and have nobody's rights."""
    op.add_column("sessions", sa.Column("key_id", _TEXT, nullable=True))
    op.add_column("sessions", sa.Column("scopes", _TEXT, nullable=True))
