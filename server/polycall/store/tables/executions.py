"""Tables of executions, which are the queue too, and of their output while they run."""

from __future__ import annotations

import sqlalchemy as sa

from polycall.store.tables.columns import METADATA, flag, number, octets, partial, text, time

__all__ = ["executions", "output_chunks"]

executions = sa.Table(
    "executions",
    METADATA,
    sa.Column("id", sa.Uuid, nullable=False),
    text("project_id"),
    text("kind"),
    sa.Column("state", sa.SmallInteger, nullable=False),  # ExecutionState
    time("queued_at"),
    time("run_at", null=True),  # not claimed before; null: never claimed (synchronous)
    time("started_at", null=True),
    time("ended_at", null=True),
    time("deadline", null=True),
    text("language"),
    text("package_id", null=True),
    text("version_id", null=True),
    text("function", null=True),
    text("face", null=True),
    text("alias", null=True),
    text("request_id", null=True),
    number("attempt"),
    number("max_attempts"),
    flag("cancel_requested"),
    text("owner", null=True),
    text("created_by", null=True),
    number("exit_code", null=True),
    number("signal", null=True),
    text("start_kind", null=True),
    sa.Column("isolation", sa.SmallInteger, nullable=True),
    flag("stdout_truncated"),
    flag("stderr_truncated"),
    flag("bodies_dropped"),
    text("error", null=True),  # JSON
    text("usage"),  # JSON
    text("limits", null=True),  # JSON
    octets("spec"),
    octets("face_data"),
    # each body is inline or a blob
    octets("input"),
    text("input_blob", null=True),
    octets("result"),
    text("result_blob", null=True),
    octets("stdout"),
    text("stdout_blob", null=True),
    octets("stderr"),
    text("stderr_blob", null=True),
    text("outbound", null=True),  # JSON
    text("schedule_id", null=True),  # no foreign key: the schedule may go, its executions stay
    time("scheduled_at", null=True),
    text("completion_url", null=True),  # where its end is told
    text("completion_host", null=True),  # the host in it
    text("sealed", null=True),
    text("sealed_by", null=True),  # format and key of it: what another key has to look for
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    # its function has a limit: who looks for what has none does not read it. A hint, which may be wrong for what came
    # while the limit was set: the policies decide
    flag("limited", default="false"),
    text("retry", null=True),  # JSON
    text("attempts", null=True),  # JSON list
    sa.PrimaryKeyConstraint("id"),
)
_e = executions.c
sa.Index("ix_executions_project", _e.project_id, _e.id)

# the empty project keeps PostgreSQL from taking this one for the queue's statements, which name no project, and sorting
partial("ix_executions_active", _e.project_id, _e.id, where="state < 2 AND project_id <> ''")
partial("ix_executions_ready", _e.run_at, _e.id, where="state = 0")
# the order in which the Calls of a project start, and those of one of its functions
partial(
    *("ix_executions_free", _e.project_id, _e.priority.desc(), _e.run_at, _e.id),
    where="state = 0 AND NOT limited",
)
partial(
    *("ix_executions_lane", _e.project_id, _e.package_id, _e.function, _e.priority.desc(), _e.run_at, _e.id),
    where="state = 0 AND package_id IS NOT NULL",
)
# what counts for limits
partial(
    *("ix_executions_running", _e.project_id, _e.package_id, _e.function),
    where="state = 1 AND kind <> 'sync'",
)
partial("ix_executions_due", _e.deadline, where="state = 0 AND deadline IS NOT NULL")
partial("ix_executions_owned", _e.owner, where="state = 1")
partial("uq_executions_alias", _e.project_id, _e.face, _e.alias, where="alias IS NOT NULL", unique=True)

# a sweep asks of every blob whether anything refers to it
partial("ix_executions_input_blob", _e.project_id, _e.input_blob, where="input_blob IS NOT NULL")
partial("ix_executions_result_blob", _e.project_id, _e.result_blob, where="result_blob IS NOT NULL")
partial("ix_executions_stdout_blob", _e.project_id, _e.stdout_blob, where="stdout_blob IS NOT NULL")
partial("ix_executions_stderr_blob", _e.project_id, _e.stderr_blob, where="stderr_blob IS NOT NULL")

# What has ended, for lists (polycall.store.listing): the state before the id, so that a page of one state is read where
# it stands. What has not ended is in none of them: a Call is put there once, at its end.
# not `> 1`: SQLite would read a range of states and sort, where it is told which state
_ENDED = "state NOT IN (0, 1)"
_OF_PACKAGE = f"{_ENDED} AND package_id IS NOT NULL"
_place = (_e.project_id, _e.package_id)
partial("ix_executions_state", _e.project_id, _e.state, _e.id, where=_ENDED)
partial("ix_executions_package", *_place, _e.state, _e.id, where=_OF_PACKAGE)
partial("ix_executions_function", *_place, _e.function, _e.state, _e.id, where=_OF_PACKAGE)
partial("ix_executions_version", *_place, _e.version_id, _e.state, _e.id, where=_OF_PACKAGE)
partial("ix_executions_version_function", *_place, _e.version_id, _e.function, _e.state, _e.id, where=_OF_PACKAGE)
partial("ix_executions_face", _e.project_id, _e.face, _e.state, _e.id, where=f"{_ENDED} AND face IS NOT NULL")
_by_schedule = (_e.project_id, _e.schedule_id, _e.state, _e.id)
partial("ix_executions_schedule", *_by_schedule, where=f"{_ENDED} AND schedule_id IS NOT NULL")

# what the policies on overlap ask for, however many executions have ended
partial("ix_executions_schedule_active", _e.project_id, _e.schedule_id, where="state < 2 AND schedule_id IS NOT NULL")

# a tick fires once, whatever else goes wrong
partial(
    "uq_executions_tick",
    _e.project_id,
    _e.schedule_id,
    _e.scheduled_at,
    where="schedule_id IS NOT NULL AND scheduled_at IS NOT NULL",
    unique=True,
)
partial("ix_executions_sealed", _e.sealed_by, _e.id, where="sealed_by IS NOT NULL")
partial("uq_executions_request", _e.project_id, _e.request_id, where="request_id IS NOT NULL", unique=True)


@sa.event.listens_for(executions, "after_create")
def _clean_executions_soon(table: sa.Table, connection: sa.Connection, **kwargs: object) -> None:
    # dead rows slow the claim down long before a fifth of the table is dead, which is the default
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE executions SET (autovacuum_vacuum_scale_factor = 0.01)")


output_chunks = sa.Table(
    "output_chunks",
    METADATA,
    sa.Column("execution_id", sa.Uuid, nullable=False),
    number("attempt"),
    number("seq"),
    # MessagePack list of [stream, time_ms, data], one row an append: however small the pieces a program writes,
    # their number does not become a number of rows
    octets("data", null=False),
    sa.PrimaryKeyConstraint("execution_id", "attempt", "seq"),
    sa.ForeignKeyConstraint(["execution_id"], ["executions.id"], ondelete="CASCADE"),
)
