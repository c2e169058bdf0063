"""Where the objects of a database lie in a bucket: below a name of its own, which no copy of it keeps.

A copy beside its original would take what the original has written since for objects that nothing names, and delete it.
So a database knows which one it was when it got its name: PostgreSQL has an identity for each cluster, and a number for
each database in it. In another place it gets another name, below which it has not written anything yet, and leaves the
objects of the one before alone: it reads them, for its rows name them, and never deletes them. An embedded database has
no such identity; ``polycall restore`` takes its name away.
"""

from __future__ import annotations

import hashlib
import logging
import secrets

import sqlalchemy as sa

from polycall.store.dialects import insert
from polycall.store.tables import counters

__all__ = ["NAMED", "home"]

NAMED = "object store"  # the counter that is the name
_MADE_FOR = "object store of"  # the counter that says of which database it is
_BITS = 62  # of a bigint

log = logging.getLogger(__name__)


def home(conn: sa.Connection) -> str:
    """Return what all keys of this database begin with; made if there is none, and another in a copy."""
    found = insert(conn.dialect.name, counters).values(name=NAMED, next=secrets.randbits(_BITS))
    conn.execute(found.on_conflict_do_nothing())
    # locked: of the servers that find themselves in a copy one gives it its name
    number = conn.execute(sa.select(counters.c.next).where(counters.c.name == NAMED).with_for_update()).scalar_one()
    here = _identity(conn)
    if here is None:
        return _spelled(number)
    before = conn.execute(sa.select(counters.c.next).where(counters.c.name == _MADE_FOR)).scalar_one_or_none()
    if before == here:
        return _spelled(number)
    if before is not None:
        old, number = number, secrets.randbits(_BITS)
        log.warning(
            "this database is a copy, or has moved: its objects are called %s from now on, and those of %s are read "
            "and never deleted (docs/operations.md, an object store)",
            _spelled(number),
            _spelled(old),
        )
        conn.execute(sa.update(counters).where(counters.c.name == NAMED).values(next=number))
    made_for = insert(conn.dialect.name, counters).values(name=_MADE_FOR, next=here)
    conn.execute(made_for.on_conflict_do_update(index_elements=["name"], set_={"next": here}))
    return _spelled(number)


def _spelled(number: int) -> str:
    return f"polycall-{number:016x}"


def _identity(conn: sa.Connection) -> int | None:
    """Return what tells this database from a copy that is restored elsewhere; None on SQLite."""
    if conn.dialect.name != "postgresql":
        return None
    cluster = ""
    # a service may keep it from its users; then the number of the database has to do
    if conn.execute(sa.text("SELECT has_function_privilege('pg_control_system()', 'execute')")).scalar_one():
        cluster = str(conn.execute(sa.text("SELECT system_identifier FROM pg_control_system()")).scalar_one())
    number = conn.execute(sa.text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar_one()
    digest = hashlib.sha256(f"{cluster} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)
