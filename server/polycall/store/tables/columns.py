"""What tables are made of: columns that both databases hold and order alike, and the database's clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from polycall.errors import InvalidArgument

__all__ = ["METADATA", "Text", "db_now", "flag", "number", "octets", "partial", "size", "storable", "text", "time"]

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class Text(sa.TypeDecorator[str]):
    """Text that both databases hold and order alike: valid Unicode without NUL, by code point."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[str]:
        """Return the type that a database knows."""
        return sa.Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Return the value; raise InvalidArgument for what could not be stored everywhere."""
        # the usual one first: an execution has two dozen texts
        return value if value is None or (value.isascii() and "\0" not in value) else storable(value)


def storable(value: str) -> str:
    """Return a text that both databases hold; raise InvalidArgument for another."""
    if "\0" in value:
        raise InvalidArgument.of("", "text must not contain the character U+0000")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument.of("", "text must be valid Unicode, without lone surrogates") from None
    return value


class db_now(FunctionElement[int]):  # it is used like a function
    """The database's clock in milliseconds: what leases, due times and deadlines are compared with."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _db_now_sqlite(element: db_now, compiler: SQLCompiler, **kwargs: object) -> str:
    # the julian day of the epoch is 2440587.5; SQLite keeps milliseconds, a double holds them to 0.05
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"


@compiles(db_now, "postgresql")
def _db_now_postgresql(element: db_now, compiler: SQLCompiler, **kwargs: object) -> str:
    # statement_timestamp is stable; clock_timestamp is volatile and would keep the planner from using an index
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"


def text(name: str, *, null: bool = False) -> sa.Column[str]:
    """Make a column of text."""
    return sa.Column(name, Text, nullable=null)


def time(name: str, *, null: bool = False) -> sa.Column[int]:
    """Make a column of milliseconds since the epoch."""
    return sa.Column(name, sa.BigInteger, nullable=null)


def number(name: str, *, null: bool = False) -> sa.Column[int]:
    """Make a column of 32-bit integers."""
    return sa.Column(name, sa.Integer, nullable=null)


def flag(name: str, *, default: str | None = None) -> sa.Column[bool]:
    """Make a column of truth values. ``default``: of rows that the release before adds, as SQL."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=None if default is None else sa.text(default))


def size() -> sa.Column[int]:
    """Make the column of how many bytes the texts of a row have; 0 in rows that the release before adds."""
    return sa.Column("size", sa.Integer, nullable=False, server_default=sa.text("0"))


def octets(name: str, *, null: bool = True) -> sa.Column[bytes]:
    """Make a column of bytes."""
    return sa.Column(name, sa.LargeBinary, nullable=null)


def partial(name: str, *columns: sa.ColumnElement[Any], where: str, unique: bool = False) -> sa.Index:
    """Make an index of the rows that ``where`` is true of."""
    # the predicate is text: the planners match a partial index by literals, not by bound values
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where))


@compiles(CreateIndex, "postgresql")
def _partial_too(element: CreateIndex, compiler: DDLCompiler, **kwargs: Any) -> str:
    # an option of PostgreSQL's in the table would load all of its dialect in every server: 20 ms of a start
    where = element.element.dialect_options["sqlite"]["where"]
    if where is not None:
        element.element.dialect_options["postgresql"]["where"] = where
    made: str = compiler.visit_create_index(element, **kwargs)  # type: ignore[no-untyped-call]
    return made
