"""Executions as they are made: from what is asked for, and what was prepared of it."""

from __future__ import annotations

from typing import Any

from polycall.domain import Execution, ExecutionKind, ExecutionState, Principal
from polycall.engine.preparation import Prepared, spec_of
from polycall.engine.requests import RunOptions
from polycall.ids import new_id, now_ms

__all__ = ["made", "queued"]

_CALL_ATTEMPTS = 3  # a Call is started again only if the server that ran it was lost


def queued(who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind) -> Execution:
    """Return an execution that has not begun."""
    asked = {"id": options.execution_id or new_id(), "state": ExecutionState.QUEUED, "queued_at": now_ms()}
    return made(who, prepared, options, kind, **asked)


def made(who: Principal, prepared: Prepared, options: RunOptions, kind: ExecutionKind, **progress: Any) -> Execution:
    """Return the execution of what was prepared; ``progress`` has what has become of it: id, state, times.

    A Call keeps its input and what it is prepared from again when it is started.
    """
    is_call = kind is not ExecutionKind.SYNC
    kept = prepared.run if is_call else None
    return Execution(
        **progress,
        project_id=who.project_id,
        kind=kind,
        language=prepared.language,
        package_id=prepared.package_id,
        version_id=prepared.version_id,
        function=prepared.function,
        face=options.face,
        alias=options.alias,
        request_id=options.request_id,
        deadline=options.deadline,
        max_attempts=_most_attempts(options) if is_call else 1,
        created_by=who.key_id,
        input=kept.input if kept is not None else None,
        limits=prepared.limits,
        spec=spec_of(kept) if kept is not None else None,
        face_data=options.face_data,
        sealed=options.sealed,
        completion_url=options.completion_url if is_call else None,
        priority=options.priority,
        retry=options.retry,
    )


def _most_attempts(options: RunOptions) -> int:
    """Return how often a Call may be started if servers are lost: as often as for other reasons, if nobody says."""
    tries = options.retry.max_attempts if options.retry is not None else 0
    return options.max_attempts or max(_CALL_ATTEMPTS, tries)
