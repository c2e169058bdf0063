"""Tables of notifications, and the trigger that makes one of every execution that ends and shall be told of.

A trigger, because there are many ways to an end (a finish, a cancel, a deadline, a lost server, a schedule that
replaces) and none may be forgotten, not even by a server of the release before, which knows of no notifications.
"""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, number, partial, text, time

__all__ = ["deliveries", "signing_secrets"]

deliveries = sa.Table(
    "deliveries",
    METADATA,
    sa.Column("execution_id", sa.Uuid, nullable=False),
    text("project_id"),
    text("lane"),  # project, a space, host: what one receiver's slowness may hold up
    text("url"),
    sa.Column("state", sa.SmallInteger, nullable=False),  # DeliveryState
    number("attempts"),
    time("created_at"),
    time("next_attempt", null=True),
    text("owner", null=True),
    time("attempted_at", null=True),
    time("ended_at", null=True),
    number("status", null=True),
    text("error", null=True),
    sa.PrimaryKeyConstraint("execution_id"),
    sa.ForeignKeyConstraint(["execution_id"], ["executions.id"], ondelete="CASCADE"),
    sa.Index("ix_deliveries_project", "project_id", "execution_id"),
    sa.Index("ix_deliveries_state", "project_id", "state", "execution_id"),
)
_d = deliveries.c
partial("ix_deliveries_due", _d.lane, _d.next_attempt, _d.execution_id, where="state = 0")
partial("ix_deliveries_owned", _d.owner, where="owner IS NOT NULL")

signing_secrets = sa.Table(
    "signing_secrets",
    METADATA,
    text("project_id"),
    text("id"),
    text("sealed"),
    time("created_at"),
    time("expires_at", null=True),  # null: the newest
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)

_MADE = (
    "INSERT INTO deliveries (execution_id, project_id, lane, url, state, attempts, created_at, next_attempt) VALUES "
    "(NEW.id, NEW.project_id, NEW.project_id || ' ' || COALESCE(NEW.completion_host, ''), NEW.completion_url, "
    "0, 0, {now}, {now}) "
    "ON CONFLICT (execution_id) DO NOTHING;"
)
_ENDS = "NEW.completion_url IS NOT NULL AND OLD.state < 2 AND NEW.state >= 2"
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER executions_ended AFTER UPDATE OF state ON executions WHEN {_ENDS} BEGIN "
        + _MADE.format(now="CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)")
        + " END",
    ),
    "postgresql": (
        "CREATE FUNCTION executions_ended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        + _MADE.format(now="CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)")
        + " RETURN NULL; END $$",
        f"CREATE TRIGGER executions_ended AFTER UPDATE OF state ON executions FOR EACH ROW WHEN ({_ENDS}) "
        "EXECUTE FUNCTION executions_ended()",
    ),
}


@sa.event.listens_for(deliveries, "after_create")
def _have_ends_told(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    for statement in _TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
