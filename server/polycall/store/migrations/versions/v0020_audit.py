"""Who did what is kept, and the database refuses to change it.

Revision: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from polycall.store.append_only import TRIGGERS

revision = "0020"
down_revision = "0019"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the log, what retention says to its triggers, and the triggers."""
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, _TEXT, nullable=False)
            for name in ("project_id", "actor", "face", "method", "action", "resource", "outcome")
        ),
        sa.Column("code", sa.SmallInteger, nullable=False),
        sa.Column("client", _TEXT, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("detail", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_time", "audit_events", ["time", "id"])
    op.create_index("ix_audit_events_project", "audit_events", ["project_id", "time", "id"])
    op.create_index("ix_audit_events_action", "audit_events", ["project_id", "action", "time", "id"])
    op.create_index("ix_audit_events_actor", "audit_events", ["actor", "time", "id"])
    op.create_index("ix_audit_events_resource", "audit_events", ["resource", "time", "id"])
    op.create_table(
        "audit_pruning",
        sa.Column("before", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("before", name="pk_audit_pruning"),
    )
    for trigger in TRIGGERS[op.get_bind().dialect.name]:
        op.get_bind().exec_driver_sql(trigger)
