"""Tables of built environments that servers keep for each other."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, number, octets, text, time

__all__ = ["environment_pieces", "environments"]

environments = sa.Table(
    "environments",
    METADATA,
    text("name"),  # sha256 (hex) of what decides it: a revision's digest
    text("owner", null=True),  # the node that builds it, until there is an archive
    text("archive", null=True),  # sha256 (hex) of the archive
    text("upload", null=True),  # whose pieces are the archive, packed
    number("pieces"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("data_bytes", sa.BigInteger, nullable=False),
    number("file_count"),
    time("touched_at"),  # a sweep leaves the young alone
    sa.PrimaryKeyConstraint("name"),
    sa.Index("ix_environments_upload", "upload"),
)

environment_pieces = sa.Table(
    "environment_pieces",
    METADATA,
    text("upload"),  # a UUIDv7, hex: the order of uploads is the order of time
    number("seq"),
    octets("data", null=False),
    sa.PrimaryKeyConstraint("upload", "seq"),
)


@sa.event.listens_for(environment_pieces, "after_create")
def _store_pieces_apart(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    # compressed already
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE environment_pieces ALTER COLUMN data SET STORAGE EXTERNAL")
