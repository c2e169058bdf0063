"""Egress: the policy of a version, the outbound requests of an execution.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; what is there has neither."""
    op.add_column("versions", sa.Column("egress", _TEXT, nullable=True))
    op.add_column("executions", sa.Column("outbound", _TEXT, nullable=True))
