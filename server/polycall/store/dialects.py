"""The one thing SQLAlchemy spells differently for the two databases: INSERT ... ON CONFLICT."""

from __future__ import annotations

from typing import cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

__all__ = ["insert"]


def insert(dialect: str, table: sa.Table) -> sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT, for a dialect by name (``sqlite``, ``postgresql``)."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # an embedded server never loads it

    return cast("sqlite.Insert", postgresql.insert(table))  # the methods are the same, the classes are not related
