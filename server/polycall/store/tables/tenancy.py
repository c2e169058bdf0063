"""Tables of projects, keys, sessions and counters."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, octets, text, time

__all__ = ["api_keys", "counters", "projects", "sessions"]

projects = sa.Table(
    "projects",
    METADATA,
    text("id"),
    time("created_at"),
    text("display_name"),
    sa.PrimaryKeyConstraint("id"),
)

api_keys = sa.Table(
    "api_keys",
    METADATA,
    text("id"),
    text("project_id"),
    text("name"),
    octets("hash", null=False),  # sha256 of the whole key
    text("scopes"),  # JSON list
    time("created_at"),
    time("expires_at", null=True),
    time("revoked_at", null=True),
    time("last_used_at", null=True),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.UniqueConstraint("hash"),
    sa.Index("ix_api_keys_project", "project_id", "created_at", "id"),
)

sessions = sa.Table(
    "sessions",
    METADATA,
    text("project_id"),
    sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
    text("type"),
    text("status"),
    time("created_at"),
    time("expires_at"),
    time("nonce_expires_at"),
    text("client_id", null=True),
    octets("nonce_hash", null=False),  # sha256
    text("key_id", null=True),  # whose rights it has
    text("scopes", null=True),  # JSON list: which of them
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.UniqueConstraint("project_id", "nonce_hash"),
)

counters = sa.Table(
    "counters",
    METADATA,
    text("name"),
    sa.Column("next", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("name"),
)
