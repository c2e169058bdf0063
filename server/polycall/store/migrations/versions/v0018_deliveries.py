"""Executions may name a URL, and their ends are told there.

Revision: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_PENDING, _OWNED = sa.text("state = 0"), sa.text("owner IS NOT NULL")
_MADE = (
    "INSERT INTO deliveries (execution_id, project_id, lane, url, state, attempts, created_at, next_attempt) VALUES "
    "(NEW.id, NEW.project_id, NEW.project_id || ' ' || COALESCE(NEW.completion_host, ''), NEW.completion_url, "
    "0, 0, {now}, {now}) "
    "ON CONFLICT (execution_id) DO NOTHING;"
)
_ENDS = "NEW.completion_url IS NOT NULL AND OLD.state < 2 AND NEW.state >= 2"


def upgrade() -> None:
    """Add what is needed; nothing that is there names a URL."""
    op.add_column("executions", sa.Column("completion_url", _TEXT, nullable=True))
    op.add_column("executions", sa.Column("completion_host", _TEXT, nullable=True))
    op.add_column("schedules", sa.Column("completion_url", _TEXT, nullable=True))
    op.create_table(
        "signing_secrets",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("sealed", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_signing_secrets"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_signing_secrets_projects"),
    )
    op.create_table(
        "deliveries",
        sa.Column("execution_id", sa.Uuid, nullable=False),
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("lane", _TEXT, nullable=False),
        sa.Column("url", _TEXT, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("next_attempt", sa.BigInteger, nullable=True),
        sa.Column("owner", _TEXT, nullable=True),
        sa.Column("attempted_at", sa.BigInteger, nullable=True),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("error", _TEXT, nullable=True),
        sa.PrimaryKeyConstraint("execution_id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_deliveries_executions", ondelete="CASCADE"
        ),
    )
    for name, columns, where in (
        ("project", ["project_id", "execution_id"], None),
        ("state", ["project_id", "state", "execution_id"], None),
        ("due", ["lane", "next_attempt", "execution_id"], _PENDING),
        ("owned", ["owner"], _OWNED),
    ):
        op.create_index(f"ix_deliveries_{name}", "deliveries", columns, sqlite_where=where, postgresql_where=where)
    conn = op.get_bind()
    if conn.dialect.name == "sqlite":
        now = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
        conn.exec_driver_sql(
            f"CREATE TRIGGER executions_ended AFTER UPDATE OF state ON executions WHEN {_ENDS} BEGIN "
            f"{_MADE.format(now=now)} END"
        )
        return
    now = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"
    conn.exec_driver_sql(
        "CREATE FUNCTION executions_ended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"{_MADE.format(now=now)} RETURN NULL; END $$"
    )
    conn.exec_driver_sql(
        f"CREATE TRIGGER executions_ended AFTER UPDATE OF state ON executions FOR EACH ROW WHEN ({_ENDS}) "
        "EXECUTE FUNCTION executions_ended()"
    )
