"""The tables, for both databases.

Times are milliseconds since the epoch. Ids of executions are UUIDv7, so the order of ids is the order of time. JSON
that polycall makes is text; JSON that callers made is bytes, never rebuilt. ``migrations`` says the same step by step;
a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from polycall.errors import InvalidArgument

__all__ = [
    "METADATA",
    "api_keys",
    "blobs",
    "counters",
    "db_now",
    "entries",
    "entry_totals",
    "executions",
    "face_objects",
    "nodes",
    "output_chunks",
    "packages",
    "projects",
    "runtime_revisions",
    "runtimes",
    "schedules",
    "secrets",
    "sessions",
    "storable",
    "versions",
]

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
        return None if value is None else storable(value)


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


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, Text, nullable=null)


def _time(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _bytes(name: str, *, null: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=null)


def _partial(name: str, *columns: sa.Column[object], where: str, unique: bool = False) -> sa.Index:
    # the predicate is text: the planners match a partial index by literals, not by bound values
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


projects = sa.Table(
    "projects",
    METADATA,
    _text("id"),
    _time("created_at"),
    _text("display_name"),
    sa.PrimaryKeyConstraint("id"),
)

api_keys = sa.Table(
    "api_keys",
    METADATA,
    _text("id"),
    _text("project_id"),
    _text("name"),
    _bytes("hash", null=False),  # sha256 of the whole key
    _text("scopes"),  # JSON list
    _time("created_at"),
    _time("expires_at", null=True),
    _time("revoked_at", null=True),
    _time("last_used_at", null=True),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.UniqueConstraint("hash"),
    sa.Index("ix_api_keys_project", "project_id", "created_at", "id"),
)

sessions = sa.Table(
    "sessions",
    METADATA,
    _text("project_id"),
    sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
    _text("type"),
    _text("status"),
    _time("created_at"),
    _time("expires_at"),
    _time("nonce_expires_at"),
    _text("client_id", null=True),
    _bytes("nonce_hash", null=False),  # sha256
    _text("key_id", null=True),  # whose rights it has
    _text("scopes", null=True),  # JSON list: which of them
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.UniqueConstraint("project_id", "nonce_hash"),
)

counters = sa.Table(
    "counters",
    METADATA,
    _text("name"),
    sa.Column("next", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("name"),
)

packages = sa.Table(
    "packages",
    METADATA,
    _text("project_id"),
    _text("id"),
    _text("display_name"),
    _text("description"),
    _text("labels"),  # JSON object
    _time("created_at"),
    _time("updated_at"),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    _text("face", null=True),
    _text("alias", null=True),  # the id as the face also spells it
    _bytes("face_data"),  # JSON
    sa.Index("ix_packages_project", "project_id", "created_at", "id"),
    sa.Index("ix_packages_face", "project_id", "face", "created_at", "id"),
)
_partial(
    *("uq_packages_alias", packages.c.project_id, packages.c.face, packages.c.alias),
    where="alias IS NOT NULL",
    unique=True,
)

face_objects = sa.Table(
    "face_objects",
    METADATA,
    _text("project_id"),
    _text("face"),
    _text("kind"),
    _text("id"),
    _text("alias", null=True),
    _time("created_at"),
    _time("updated_at"),
    _number("revision"),
    _bytes("data", null=False),  # JSON
    _text("blob", null=True),  # sha256 (hex) of a blob of the project
    sa.PrimaryKeyConstraint("project_id", "face", "kind", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.Index("ix_face_objects_kind", "project_id", "face", "kind", "created_at", "id"),
)
_o = face_objects.c
_partial("ix_face_objects_blob", _o.project_id, _o.blob, where="blob IS NOT NULL")
_partial("uq_face_objects_alias", _o.project_id, _o.face, _o.kind, _o.alias, where="alias IS NOT NULL", unique=True)

versions = sa.Table(
    "versions",
    METADATA,
    # the order of insertion, which parts versions of the same millisecond
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=True),
    _text("project_id"),
    _text("package_id"),
    _text("id"),
    _text("state"),
    _text("language"),
    _time("created_at"),
    _text("bundle"),  # sha256 (hex) of a blob of the project
    _text("functions"),  # JSON
    _text("limits"),  # JSON
    _text("env"),  # JSON
    _text("runtime"),
    _flag("reuse"),
    _time("released_at", null=True),
    _text("created_by", null=True),
    _text("error", null=True),
    _bytes("face_data"),
    _text("egress", null=True),  # JSON, its secrets sealed
    _text("warm", null=True),  # JSON; null: all of it is the server's
    _text("secret_env", null=True),  # JSON: variable -> secret id
    _text("secrets", null=True),  # JSON: name -> sealed value
    _text("adapter", null=True),
    sa.PrimaryKeyConstraint("seq"),
    sa.ForeignKeyConstraint(["project_id", "package_id"], ["packages.project_id", "packages.id"], ondelete="CASCADE"),
    sa.UniqueConstraint("project_id", "package_id", "id"),
    sa.Index("ix_versions_package", "project_id", "package_id", "created_at", "seq"),
    sa.Index("ix_versions_bundle", "project_id", "bundle"),
)

secrets = sa.Table(
    "secrets",
    METADATA,
    _text("project_id"),
    _text("id"),
    _text("name"),
    _text("face", null=True),
    _text("sealed"),
    _time("created_at"),
    _time("updated_at"),
    _text("created_by", null=True),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.Index("ix_secrets_project", "project_id", "created_at", "id"),
    sa.Index("ix_secrets_name", "project_id", "name", "created_at", "id"),
)

runtimes = sa.Table(
    "runtimes",
    METADATA,
    _text("project_id"),
    _text("id"),
    _text("language"),
    _text("display_name"),
    _time("created_at"),
    _text("created_by", null=True),
    _bytes("face_data"),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
    sa.Index("ix_runtimes_project", "project_id", "created_at", "id"),
)

runtime_revisions = sa.Table(
    "runtime_revisions",
    METADATA,
    _text("project_id"),
    _text("id"),
    _text("runtime_id"),
    _text("language"),
    _text("manifest_kind"),
    _text("manifest"),
    _text("additional_imports"),
    _text("state"),
    _time("created_at"),
    _time("started_at", null=True),
    _time("ended_at", null=True),
    _text("digest"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    _number("file_count"),
    _text("preload"),  # JSON
    _text("log"),
    _flag("log_truncated"),
    _text("error", null=True),
    _text("created_by", null=True),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "runtime_id"], ["runtimes.project_id", "runtimes.id"], ondelete="CASCADE"),
    sa.Index("ix_runtime_revisions_runtime", "project_id", "runtime_id", "created_at", "id"),
    sa.Index("ix_runtime_revisions_state", "state", "created_at"),
)

nodes = sa.Table(
    "nodes",
    METADATA,
    _text("id"),  # one boot of one server process
    _text("replica"),  # the process, boot after boot
    _time("heartbeat"),
    sa.PrimaryKeyConstraint("id"),
)

blobs = sa.Table(
    "blobs",
    METADATA,
    _text("project_id"),
    _text("sha256"),  # hex, computed here, never taken from a caller
    sa.Column("size", sa.BigInteger, nullable=False),
    _bytes("data", null=False),
    _time("touched_at"),  # when it was last written; a sweep leaves the young alone
    sa.PrimaryKeyConstraint("project_id", "sha256"),
)


@sa.event.listens_for(blobs, "after_create")
def _store_blobs_apart(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    # uncompressed: sources and results are read whole, and rarely
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL")


executions = sa.Table(
    "executions",
    METADATA,
    sa.Column("id", sa.Uuid, nullable=False),
    _text("project_id"),
    _text("kind"),
    sa.Column("state", sa.SmallInteger, nullable=False),  # ExecutionState
    _time("queued_at"),
    _time("run_at", null=True),  # not claimed before; null: never claimed (synchronous)
    _time("started_at", null=True),
    _time("ended_at", null=True),
    _time("deadline", null=True),
    _text("language"),
    _text("package_id", null=True),
    _text("version_id", null=True),
    _text("function", null=True),
    _text("face", null=True),
    _text("alias", null=True),
    _text("request_id", null=True),
    _number("attempt"),
    _number("max_attempts"),
    _flag("cancel_requested"),
    _text("owner", null=True),
    _text("created_by", null=True),
    _number("exit_code", null=True),
    _number("signal", null=True),
    _text("start_kind", null=True),
    sa.Column("isolation", sa.SmallInteger, nullable=True),
    _flag("stdout_truncated"),
    _flag("stderr_truncated"),
    _flag("bodies_dropped"),
    _text("error", null=True),  # JSON
    _text("usage"),  # JSON
    _text("limits", null=True),  # JSON
    _bytes("spec"),
    _bytes("face_data"),
    # each body is inline or a blob
    _bytes("input"),
    _text("input_blob", null=True),
    _bytes("result"),
    _text("result_blob", null=True),
    _bytes("stdout"),
    _text("stdout_blob", null=True),
    _bytes("stderr"),
    _text("stderr_blob", null=True),
    _text("outbound", null=True),  # JSON
    _text("schedule_id", null=True),  # no foreign key: the schedule may go, its executions stay
    _time("scheduled_at", null=True),
    sa.PrimaryKeyConstraint("id"),
    # dead rows slow the claim down long before a fifth of the table is dead, which is the default
    postgresql_with={"autovacuum_vacuum_scale_factor": "0.01"},
)
_e = executions.c
sa.Index("ix_executions_project", _e.project_id, _e.id)
_partial("ix_executions_package", _e.project_id, _e.package_id, _e.id, where="package_id IS NOT NULL")
# the empty project keeps PostgreSQL from taking this one for the queue's statements, which name no project, and sorting
_partial("ix_executions_active", _e.project_id, _e.id, where="state < 2 AND project_id <> ''")
_partial("ix_executions_failed", _e.project_id, _e.id, where="state > 2")
_partial("ix_executions_package_failed", _e.project_id, _e.package_id, _e.id, where="state > 2")
_partial("ix_executions_ready", _e.run_at, _e.id, where="state = 0")
_partial("ix_executions_due", _e.deadline, where="state = 0 AND deadline IS NOT NULL")
_partial("ix_executions_owned", _e.owner, where="state = 1")
_partial("uq_executions_alias", _e.project_id, _e.face, _e.alias, where="alias IS NOT NULL", unique=True)
# a sweep asks of every blob whether anything refers to it
_partial("ix_executions_input_blob", _e.project_id, _e.input_blob, where="input_blob IS NOT NULL")
_partial("ix_executions_result_blob", _e.project_id, _e.result_blob, where="result_blob IS NOT NULL")
_partial("ix_executions_stdout_blob", _e.project_id, _e.stdout_blob, where="stdout_blob IS NOT NULL")
_partial("ix_executions_stderr_blob", _e.project_id, _e.stderr_blob, where="stderr_blob IS NOT NULL")
_partial("ix_executions_schedule", _e.project_id, _e.schedule_id, _e.id, where="schedule_id IS NOT NULL")
# what the policies on overlap ask for, however many executions have ended
_partial("ix_executions_schedule_active", _e.project_id, _e.schedule_id, where="state < 2 AND schedule_id IS NOT NULL")
# a tick fires once, whatever else goes wrong
_partial(
    "uq_executions_tick",
    _e.project_id,
    _e.schedule_id,
    _e.scheduled_at,
    where="schedule_id IS NOT NULL AND scheduled_at IS NOT NULL",
    unique=True,
)
_partial("uq_executions_request", _e.project_id, _e.request_id, where="request_id IS NOT NULL", unique=True)

schedules = sa.Table(
    "schedules",
    METADATA,
    _text("project_id"),
    _text("id"),
    _text("package_id"),
    _text("version_id", null=True),
    _text("function"),
    _text("cron"),
    _text("timezone"),
    _text("limits"),  # JSON
    _number("max_attempts", null=True),
    _time("deadline_ms", null=True),
    _text("overlap"),
    _text("missed"),
    _flag("paused"),
    _text("display_name"),
    _text("description"),
    _time("created_at"),
    _time("updated_at"),
    _text("created_by", null=True),
    _text("face", null=True),
    _bytes("face_data"),
    _time("next_run", null=True),
    _time("last_run", null=True),
    sa.Column("runs", sa.BigInteger, nullable=False),
    sa.Column("skipped", sa.BigInteger, nullable=False),
    _time("last_skipped", null=True),
    _text("last_skip"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    _bytes("input", null=False),
    sa.PrimaryKeyConstraint("project_id", "id"),
    sa.ForeignKeyConstraint(["project_id", "package_id"], ["packages.project_id", "packages.id"], ondelete="CASCADE"),
    # of a schedule that names no version nothing is asked
    sa.ForeignKeyConstraint(
        ["project_id", "package_id", "version_id"],
        ["versions.project_id", "versions.package_id", "versions.id"],
        ondelete="CASCADE",
    ),
    sa.Index("ix_schedules_project", "project_id", "created_at", "id"),
    sa.Index("ix_schedules_package", "project_id", "package_id", "version_id"),
)
_partial("ix_schedules_due", schedules.c.next_run, where="next_run IS NOT NULL")

output_chunks = sa.Table(
    "output_chunks",
    METADATA,
    sa.Column("execution_id", sa.Uuid, nullable=False),
    _number("attempt"),
    _number("seq"),
    # MessagePack list of [stream, time_ms, data], one row an append: however small the pieces a program writes,
    # their number does not become a number of rows
    _bytes("data", null=False),
    sa.PrimaryKeyConstraint("execution_id", "attempt", "seq"),
    sa.ForeignKeyConstraint(["execution_id"], ["executions.id"], ondelete="CASCADE"),
)

entries = sa.Table(
    "entries",
    METADATA,
    _text("project_id"),
    _text("space"),
    _text("key"),
    _bytes("value", null=False),
    _number("size"),  # bytes of space, key and value
    _time("expires_at", null=True),
    sa.PrimaryKeyConstraint("project_id", "space", "key"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)
_partial("ix_entries_expiry", entries.c.project_id, entries.c.expires_at, where="expires_at IS NOT NULL")

# Of all entries of a project, those that have expired and are still there too. Whoever changes entries locks this row
# first, so changes of one project follow each other.
entry_totals = sa.Table(
    "entry_totals",
    METADATA,
    _text("project_id"),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("project_id"),
    sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
)
