"""Tables of the audit log."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.append_only import TRIGGERS
from polycall.store.tables.columns import METADATA, text, time

__all__ = ["audit_events", "audit_pruning"]

# Of no foreign keys: what was done to a thing, and by whom, outlives both.
audit_events = sa.Table(
    "audit_events",
    METADATA,
    sa.Column("id", sa.Uuid, nullable=False),
    time("time"),
    text("project_id"),  # "": of no project
    text("actor"),
    text("face"),
    text("method"),
    text("action"),
    text("resource"),
    text("outcome"),
    sa.Column("code", sa.SmallInteger, nullable=False),
    text("client"),
    sa.Column("count", sa.BigInteger, nullable=False),
    text("detail"),  # JSON object
    sa.PrimaryKeyConstraint("id"),
    sa.Index("ix_audit_events_time", "time", "id"),
    sa.Index("ix_audit_events_project", "project_id", "time", "id"),
    sa.Index("ix_audit_events_action", "project_id", "action", "time", "id"),
    sa.Index("ix_audit_events_actor", "actor", "time", "id"),
    sa.Index("ix_audit_events_resource", "resource", "time", "id"),
)

# What retention says to the triggers of the log; empty but within its transaction.
audit_pruning = sa.Table(
    "audit_pruning",
    METADATA,
    sa.Column("before", sa.BigInteger, nullable=False, autoincrement=False),
    sa.PrimaryKeyConstraint("before"),
)


@sa.event.listens_for(audit_events, "after_create")
def _append_only(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    for trigger in TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(trigger)
