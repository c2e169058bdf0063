"""Results that are kept for a while: asked for by the task's id, in any of the four forms."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polycall.domain import Execution, ExecutionState, Principal
from polycall.engine.engine import Engine
from polycall.engine.keys import reading
from polycall.errors import NotFound
from polycall.faces.guance.envelope import is_task_id
from polycall.faces.guance.errors import Failure, Refused, failed, no_such, unreadable
from polycall.faces.guance.runs import FACE
from polycall.faces.wire import Malformed, raw_members
from polycall.ids import now_ms

__all__ = ["form_of", "kept_result", "promise"]

_KEPT_MS = 3_600_000


def promise(task_id: str) -> Mapping[str, str]:
    """Return what is said of a result that can be fetched later."""
    return {"resultURL": f"/api/v1/func-result?taskId={task_id}", "taskId": task_id}


def form_of(result: bytes, return_type: str) -> msgspec.Raw:
    """Return one form of a result that was made in all of them. Raises Refused if its script has spoiled it."""
    if return_type == "ALL":
        return msgspec.Raw(result)
    try:
        return raw_members(result)[return_type]
    except (Malformed, KeyError):
        raise Refused(unreadable()) from None


async def kept_result(engine: Engine, who: Principal, task_id: str, return_type: str) -> msgspec.Raw | Failure:
    """Return a result in one of the forms. Raises Refused if there is none (any more)."""
    if not is_task_id(task_id):  # all other servers would be asked for whatever it is, and nothing holds 32 KiB of it
        raise no_such("task", taskId=task_id)
    try:
        execution = await engine.executions.find(reading(who), FACE, task_id)
        execution = await engine.executions.get(reading(who), execution.id)  # with its result
    except NotFound:
        raise no_such("task", taskId=task_id) from None
    if execution.face_data is None or _is_over(execution):
        raise no_such("task", taskId=task_id)
    if not execution.state.final:
        message = "Waiting Func result timeout, but task is still running. Use task ID to fetch result later"
        return Failure("EAPITimeout", 599.1, message, {"id": task_id})
    if execution.state is not ExecutionState.COMPLETED or execution.result is None:
        return failed(execution, f"{execution.package_id}.{execution.function}", task_id)
    return form_of(execution.result, return_type)


def _is_over(execution: Execution) -> bool:
    return execution.ended_at is not None and execution.ended_at + _KEPT_MS <= now_ms()
