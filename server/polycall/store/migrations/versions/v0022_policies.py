"""Priorities, limits and retries of Calls.

Revision: 0022
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; what waits has the middle priority, no limit, and is not tried again."""
    op.create_table(
        "policies",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("package_id", _TEXT, nullable=False),
        sa.Column("function", _TEXT, nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
        sa.Column("retry", _TEXT, nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_policies_projects"),
        sa.PrimaryKeyConstraint("project_id", "package_id", "function", name="pk_policies"),
    )
    _partial_index("ix_policies_lifted", "policies", ["lifted_at"], "lifted_at IS NOT NULL")
    op.add_column("executions", sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("executions", sa.Column("limited", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.add_column("executions", sa.Column("retry", _TEXT, nullable=True))
    op.add_column("executions", sa.Column("attempts", _TEXT, nullable=True))
    order: list[str | sa.TextClause] = [sa.text("priority DESC"), "run_at", "id"]
    _partial_index("ix_executions_free", "executions", ["project_id", *order], "state = 0 AND NOT limited")
    _partial_index(
        "ix_executions_lane",
        "executions",
        ["project_id", "package_id", "function", *order],
        "state = 0 AND package_id IS NOT NULL",
    )
    _partial_index(
        "ix_executions_running", "executions", ["project_id", "package_id", "function"], "state = 1 AND kind <> 'sync'"
    )
    op.add_column("schedules", sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("schedules", sa.Column("retry", _TEXT, nullable=True))


def _partial_index(name: str, table: str, columns: Sequence[str | sa.TextClause], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
