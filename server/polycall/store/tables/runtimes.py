"""Tables of runtimes and their revisions."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, flag, number, octets, size, text, time

__all__ = ["runtime_revisions", "runtimes"]

runtimes = sa.Table(
    "runtimes",
    METADATA,
    text("project_id"),
    text("id"),
    text("language"),
    text("display_name"),
    time("created_at"),
    text("created_by", null=True),
    octets("face_data"),
    size(),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.Index("ix_runtimes_project", "project_id", "created_at", "id"),
    sa.Index("ix_runtimes_size", "project_id", "size"),
)

runtime_revisions = sa.Table(
    "runtime_revisions",
    METADATA,
    text("project_id"),
    text("id"),
    text("runtime_id"),
    text("language"),
    text("manifest_kind"),
    text("manifest"),
    text("additional_imports"),
    text("state"),
    time("created_at"),
    time("started_at", null=True),
    time("ended_at", null=True),
    text("digest"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    number("file_count"),
    text("preload"),  # JSON
    text("log"),
    flag("log_truncated"),
    text("error", null=True),
    text("created_by", null=True),
    size(),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "runtime_id"], ["runtimes.project_id", "runtimes.id"], ondelete="CASCADE"),
    sa.Index("ix_runtime_revisions_runtime", "project_id", "runtime_id", "created_at", "id"),
    sa.Index("ix_runtime_revisions_state", "state", "created_at"),
    sa.Index("ix_runtime_revisions_digest", "digest"),
    sa.Index("ix_runtime_revisions_size", "project_id", "size"),
)
