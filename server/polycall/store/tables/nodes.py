"""The table of servers that share a database."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, text, time

__all__ = ["nodes"]

nodes = sa.Table(
    "nodes",
    METADATA,
    text("id"),  # one boot of one server process
    text("replica"),  # the process, boot after boot
    time("heartbeat"),
    sa.PrimaryKeyConstraint("id"),
)
