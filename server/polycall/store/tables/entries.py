"""Tables of values that code keeps."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, number, octets, partial, text, time

__all__ = ["entries", "entry_totals"]

entries = sa.Table(
    "entries",
    METADATA,
    text("project_id"),
    text("space"),
    text("key"),
    octets("value", null=False),
    number("size"),  # bytes of space, key and value
    time("expires_at", null=True),
    sa.PrimaryKeyConstraint("project_id", "space", "key"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)
partial("ix_entries_expiry", entries.c.project_id, entries.c.expires_at, where="expires_at IS NOT NULL")

# Of all entries of a project, those that have expired and are still there too. Whoever changes entries locks this row
# first, so changes of one project follow each other.
entry_totals = sa.Table(
    "entry_totals",
    METADATA,
    text("project_id"),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("project_id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)
