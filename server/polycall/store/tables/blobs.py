"""The table of what is large: sources, results, files."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, flag, octets, partial, text, time

__all__ = ["blobs"]

blobs = sa.Table(
    "blobs",
    METADATA,
    text("project_id"),
    text("sha256"),  # hex, computed here, never taken from a caller
    sa.Column("size", sa.BigInteger, nullable=False),
    octets("data", null=False),  # empty if it is in the object store
    time("touched_at"),  # when it was last written; a sweep leaves the young alone
    sa.PrimaryKeyConstraint("project_id", "sha256"),
    flag("counted", default="false"),  # a source or a file, which the project's quota is of
    text("place", null=True),  # the key of its object, if it is in the object store
)
# `counted` too: else SQLite would look it up in each row
partial("ix_blobs_counted", blobs.c.project_id, blobs.c.size, blobs.c.counted, where="counted")
partial("ix_blobs_place", blobs.c.place, where="place IS NOT NULL")  # a sweep asks whether anything names an object


@sa.event.listens_for(blobs, "after_create")
def _store_blobs_apart(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    # uncompressed: sources and results are read whole, and rarely
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL")
