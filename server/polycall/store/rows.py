"""Executions as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from polycall.domain import (
    Attempt,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    Language,
    Limits,
    OutboundRequest,
    RetryPolicy,
    StartKind,
    Usage,
)
from polycall.sealing import mark_of
from polycall.store.blobs import Blob, Elsewhere, Value, read_blobs
from polycall.store.tables import executions

__all__ = [
    "BODIES",
    "LISTED",
    "Placed",
    "execution_without_blobs",
    "has_blobs",
    "json_text",
    "listed_execution",
    "read_executions",
    "row_of",
]

BODIES = ("input", "result", "stdout", "stderr")
_BODY_COLUMNS = frozenset(name for body in BODIES for name in (body, f"{body}_blob"))
# what a list shows: neither bodies nor what only the queue reads
LISTED = tuple(
    column
    for column in executions.c
    if column.name not in _BODY_COLUMNS and column.name not in ("spec", "outbound", "attempts")
)


class Placed(bytes):
    """A body that is not here: it was read from, or is written to, an object store. Empty; only the store sees any."""

    where: Blob | Elsewhere

    @classmethod
    def of(cls, where: Blob | Elsewhere) -> Placed:
        """Stand for a value."""
        body = cls()
        body.where = where
        return body


class _Outbound(msgspec.Struct, omit_defaults=True):
    requests: tuple[OutboundRequest, ...] = ()
    omitted: int = 0


_encoder = msgspec.json.Encoder()
_decode_outbound = msgspec.json.Decoder(_Outbound).decode
_decode_error = msgspec.json.Decoder(ExecutionError).decode
_decode_usage = msgspec.json.Decoder(Usage).decode
_decode_limits = msgspec.json.Decoder(Limits).decode
_decode_retry = msgspec.json.Decoder(RetryPolicy).decode
_decode_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode


def json_text(value: object) -> str:
    """Return a value of ``polycall.domain`` as JSON."""
    return _encoder.encode(value).decode()


def row_of(execution: Execution, inline_bytes: int) -> tuple[dict[str, Any], list[Blob]]:
    """Return the row of an execution (all columns but ``run_at`` and ``limited``) and the blobs that it refers to."""
    e = execution
    row = {
        "id": e.id,
        "project_id": e.project_id,
        "kind": e.kind.value,
        "state": int(e.state),
        "queued_at": e.queued_at,
        "started_at": e.started_at,
        "ended_at": e.ended_at,
        "deadline": e.deadline,
        "language": e.language.value,
        "package_id": e.package_id,
        "version_id": e.version_id,
        "function": e.function,
        "face": e.face,
        "alias": e.alias,
        "request_id": e.request_id,
        "attempt": e.attempt,
        "max_attempts": e.max_attempts,
        "cancel_requested": e.cancel_requested,
        "owner": e.owner,
        "created_by": e.created_by,
        "exit_code": e.exit_code,
        "signal": e.signal,
        "start_kind": e.start_kind and e.start_kind.value,
        "isolation": None if e.isolation is None else int(e.isolation),
        "stdout_truncated": e.stdout_truncated,
        "stderr_truncated": e.stderr_truncated,
        "bodies_dropped": e.bodies_dropped,
        "error": e.error and json_text(e.error),
        "usage": json_text(e.usage),
        "limits": e.limits and json_text(e.limits),
        "outbound": json_text(_Outbound(e.outbound, e.outbound_omitted)) if e.outbound else None,
        "spec": e.spec,
        "face_data": e.face_data,
        "sealed": e.sealed,
        "sealed_by": e.sealed and mark_of(e.sealed),
        "schedule_id": e.schedule_id,
        "scheduled_at": e.scheduled_at,
        "completion_url": e.completion_url,
        "completion_host": e.completion_url and _host(e.completion_url),
        "priority": e.priority,
        "retry": e.retry and json_text(e.retry),
        "attempts": json_text(e.attempts) if e.attempts else None,
    }
    large = []
    for name, body in zip(BODIES, (e.input, e.result, e.stdout, e.stderr), strict=True):
        row[name], row[f"{name}_blob"] = body if body or name in ("input", "result") else None, None
        if body is not None and (isinstance(body, Placed) or len(body) > inline_bytes):
            blob = body.where if isinstance(body, Placed) else Blob.of(e.project_id, body)
            if isinstance(blob, Elsewhere):  # read, and written again without having been completed
                raise TypeError(f"the {name} of execution {e.id} is not here")
            large.append(blob)
            row[name], row[f"{name}_blob"] = None, blob.digest
    return row, large


def has_blobs(row: sa.Row[Any]) -> bool:
    """Whether a body of a full row is not in it."""
    return bool(row.input_blob or row.result_blob or row.stdout_blob or row.stderr_blob)


def execution_without_blobs(row: sa.Row[Any]) -> Execution:
    """Return the execution of a full row, without the bodies that are blobs."""
    return _full_execution(row, {})


def read_executions(conn: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[Execution]:
    """Return the executions of full rows, with the bodies that are blobs."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        digests = (row.input_blob, row.result_blob, row.stdout_blob, row.stderr_blob)
        wanted.setdefault(row.project_id, set()).update(digest for digest in digests if digest)
    found = {project: read_blobs(conn, project, digests) for project, digests in wanted.items()}
    return [_full_execution(row, found[row.project_id]) for row in rows]


def _host(url: str) -> str:
    """Return the host of a URL as all spellings of it have it."""
    return (urlsplit(url).hostname or "").removesuffix(".")


def listed_execution(row: sa.Row[Any]) -> Execution:
    """Return the execution of a row of ``LISTED``."""
    return Execution(**_fields(row))


def _full_execution(row: sa.Row[Any], blobs: Mapping[str, Value]) -> Execution:
    def body(inline: bytes | None, digest: str | None) -> bytes | None:
        found = inline if digest is None else blobs.get(digest)
        return Placed.of(found) if isinstance(found, Elsewhere) else found

    def output(inline: bytes | None, digest: str | None) -> bytes:
        found = body(inline, digest)
        return b"" if found is None else found

    outbound = _decode_outbound(row.outbound) if row.outbound is not None else _Outbound()
    return Execution(
        **_fields(row),
        spec=row.spec,
        attempts=_decode_attempts(row.attempts) if row.attempts is not None else (),
        outbound=outbound.requests,
        outbound_omitted=outbound.omitted,
        input=body(row.input, row.input_blob),
        result=body(row.result, row.result_blob),
        stdout=output(row.stdout, row.stdout_blob),
        stderr=output(row.stderr, row.stderr_blob),
    )


def _fields(row: sa.Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "kind": ExecutionKind(row.kind),
        "state": ExecutionState(row.state),
        "queued_at": row.queued_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "deadline": row.deadline,
        "language": Language(row.language),
        "package_id": row.package_id,
        "version_id": row.version_id,
        "function": row.function,
        "face": row.face,
        "alias": row.alias,
        "request_id": row.request_id,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "cancel_requested": row.cancel_requested,
        "owner": row.owner,
        "created_by": row.created_by,
        "exit_code": row.exit_code,
        "signal": row.signal,
        "start_kind": row.start_kind and StartKind(row.start_kind),
        "isolation": None if row.isolation is None else IsolationLevel(row.isolation),
        "stdout_truncated": row.stdout_truncated,
        "stderr_truncated": row.stderr_truncated,
        "bodies_dropped": row.bodies_dropped,
        "error": row.error and _decode_error(row.error),
        "usage": _decode_usage(row.usage),
        "limits": row.limits and _decode_limits(row.limits),
        "face_data": row.face_data,
        "sealed": row.sealed,
        "schedule_id": row.schedule_id,
        "scheduled_at": row.scheduled_at,
        "completion_url": row.completion_url,
        "priority": row.priority,
        "retry": row.retry and _decode_retry(row.retry),
        "run_at": row.run_at,
    }
