"""The table of schedules."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, flag, number, octets, partial, size, text, time

__all__ = ["schedules"]

schedules = sa.Table(
    "schedules",
    METADATA,
    text("project_id"),
    text("id"),
    text("package_id"),
    text("version_id", null=True),
    text("function"),
    text("cron"),
    text("timezone"),
    text("limits"),  # JSON
    number("max_attempts", null=True),
    time("deadline_ms", null=True),
    text("overlap"),
    text("missed"),
    flag("paused"),
    text("display_name"),
    text("description"),
    time("created_at"),
    time("updated_at"),
    text("created_by", null=True),
    text("face", null=True),
    octets("face_data"),
    time("next_run", null=True),
    time("last_run", null=True),
    sa.Column("runs", sa.BigInteger, nullable=False),
    sa.Column("skipped", sa.BigInteger, nullable=False),
    time("last_skipped", null=True),
    text("last_skip"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    octets("input", null=False),
    size(),
    text("completion_url", null=True),
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    text("retry", null=True),  # JSON
    sa.Index("ix_schedules_size", "project_id", "size"),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "package_id"], ["packages.project_id", "packages.id"], ondelete="CASCADE"),
    # of a schedule that names no version nothing is asked
    sa.ForeignKeyConstraint(
        ["project_id", "package_id", "version_id"],
        ["versions.project_id", "versions.package_id", "versions.id"],
        ondelete="CASCADE",
    ),
    sa.Index("ix_schedules_project", "project_id", "created_at", "id"),
    sa.Index("ix_schedules_package", "project_id", "package_id", "version_id"),
)
partial("ix_schedules_due", schedules.c.next_run, where="next_run IS NOT NULL")
