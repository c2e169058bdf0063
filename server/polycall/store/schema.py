"""The schema of a database: made at once when it is new, else brought up to date by migrations.

Alembic is imported only when there is something to migrate, which keeps starts fast. What it would make of an empty
database and what ``tables`` makes are the same; a test says so.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa

from polycall.domain import DEFAULT_PROJECT, Reason
from polycall.errors import FailedPrecondition
from polycall.ids import now_ms
from polycall.store.dialects import insert
from polycall.store.tables import METADATA, counters, projects

__all__ = ["HEAD", "prepare", "upgrade"]

HEAD = "0024"  # the last revision in migrations/versions; revisions are numbers, so they can be compared
# The oldest revision whose code can run on this schema. A migration that earlier code cannot live with raises it to its
# own number; all others only add. Code before it knows nothing of servers beside it.
FLOOR = 21
_FLOOR = "schema floor"  # where it is kept, so that older code finds it: a counter
_LOCK = 0x706F6C7963616C6C  # "polycall": one server migrates, the others wait (pg_advisory_lock)

log = logging.getLogger(__name__)

_VERSION = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def prepare(conn: sa.Connection) -> None:
    """Make the schema what this release expects, and the default project, within the caller's transaction.

    A database that a newer release has migrated is left as it is, if this one can run on it. Raises FailedPrecondition
    if it cannot, and for a revision that is none of ours.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    revision = _revision(conn)
    if revision is None:
        METADATA.create_all(conn, checkfirst=False)
        _VERSION.create(conn, checkfirst=False)
        conn.execute(sa.insert(_VERSION), {"version_num": HEAD})
        _set_floor(conn)
    elif not (len(revision) == len(HEAD) and revision.isdigit()):
        raise FailedPrecondition(
            f"The database has tables of another program, or of a changed polycall: their revision is {revision}. Give "
            "polycall a database of its own.",
            subject="database_url",
            reason=Reason.STORE_UNAVAILABLE,
        )
    elif revision < HEAD:
        log.info("migrating the database from revision %s to %s", revision, HEAD)
        upgrade(conn)
        _set_floor(conn)
    elif revision > HEAD:
        _check_floor(conn, revision)
        log.warning("the database has revision %s, newer than this release's %s", revision, HEAD)
    conn.execute(
        insert(conn.dialect.name, projects).on_conflict_do_nothing(),
        {"id": DEFAULT_PROJECT, "created_at": now_ms(), "display_name": ""},
    )


def upgrade(conn: sa.Connection, revision: str = "head") -> None:
    """Run the migrations that are missing, within the caller's transaction."""
    from alembic import command  # a tenth of a second that most starts do not need
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


def _set_floor(conn: sa.Connection) -> None:
    """Note what older code has to know to run here."""
    statement = insert(conn.dialect.name, counters).values(name=_FLOOR, next=FLOOR)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"next": FLOOR}))


def _check_floor(conn: sa.Connection, revision: str) -> None:
    floor = conn.execute(sa.select(counters.c.next).where(counters.c.name == _FLOOR)).scalar_one_or_none()
    if floor is not None and floor > int(HEAD):
        raise FailedPrecondition(
            f"The database is of a newer release: its schema is {revision}, this release knows {HEAD}, and {floor:04d} "
            "is the least that runs on it. Start the newer release again, or restore a backup from before it.",
            subject="database_url",
            reason=Reason.STORE_UNAVAILABLE,
        )


def _revision(conn: sa.Connection) -> str | None:
    if not sa.inspect(conn).has_table(_VERSION.name):
        return None
    return conn.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
