"""Schedules; executions say which schedule made them, and for which tick.

Revision: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add both; what has run so far was made by no schedule."""
    op.create_table(
        "schedules",
        sa.Column("project_id", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("package_id", _TEXT, nullable=False),
        sa.Column("version_id", _TEXT, nullable=True),
        sa.Column("function", _TEXT, nullable=False),
        sa.Column("cron", _TEXT, nullable=False),
        sa.Column("timezone", _TEXT, nullable=False),
        sa.Column("limits", _TEXT, nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=True),
        sa.Column("overlap", _TEXT, nullable=False),
        sa.Column("missed", _TEXT, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("face", _TEXT, nullable=True),
        sa.Column("face_data", sa.LargeBinary(), nullable=True),
        sa.Column("next_run", sa.BigInteger(), nullable=True),
        sa.Column("last_run", sa.BigInteger(), nullable=True),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.Column("last_skipped", sa.BigInteger(), nullable=True),
        sa.Column("last_skip", _TEXT, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "package_id"],
            ["packages.project_id", "packages.id"],
            name="fk_schedules_packages",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "package_id", "version_id"],
            ["versions.project_id", "versions.package_id", "versions.id"],
            name="fk_schedules_versions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_schedules"),
    )
    op.create_index("ix_schedules_project", "schedules", ["project_id", "created_at", "id"])
    op.create_index("ix_schedules_package", "schedules", ["project_id", "package_id", "version_id"])
    _partial_index("ix_schedules_due", "schedules", ["next_run"], "next_run IS NOT NULL")
    op.add_column("executions", sa.Column("schedule_id", _TEXT, nullable=True))
    op.add_column("executions", sa.Column("scheduled_at", sa.BigInteger(), nullable=True))
    _partial_index(
        "ix_executions_schedule", "executions", ["project_id", "schedule_id", "id"], "schedule_id IS NOT NULL"
    )
    _partial_index(
        "ix_executions_schedule_active",
        "executions",
        ["project_id", "schedule_id"],
        "state < 2 AND schedule_id IS NOT NULL",
    )
    _partial_index(
        "uq_executions_tick",
        "executions",
        ["project_id", "schedule_id", "scheduled_at"],
        "schedule_id IS NOT NULL AND scheduled_at IS NOT NULL",
        unique=True,
    )


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
