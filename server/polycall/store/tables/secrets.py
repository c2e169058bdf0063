"""The table of secrets."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, text, time

__all__ = ["secrets"]

secrets = sa.Table(
    "secrets",
    METADATA,
    text("project_id"),
    text("id"),
    text("name"),
    text("face", null=True),
    text("sealed"),
    time("created_at"),
    time("updated_at"),
    text("created_by", null=True),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.Index("ix_secrets_project", "project_id", "created_at", "id"),
    sa.Index("ix_secrets_name", "project_id", "name", "created_at", "id"),
)
