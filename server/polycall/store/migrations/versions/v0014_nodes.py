"""Servers that share a database say that they live.

Revision: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table; who runs on the schema of before is not in it, and must be stopped first."""
    op.create_table(
        "nodes",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("replica", _TEXT, nullable=False),
        sa.Column("heartbeat", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
