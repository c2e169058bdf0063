"""What is said: that an execution has ended, and how. The same text at every attempt."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from polycall.domain import DueDelivery
from polycall.names import ExecutionName, FunctionName, ScheduleName

__all__ = ["RESULT_BYTES", "message_id", "notification"]

# A notification says that there is something to fetch; what fits into a few packets comes along.
RESULT_BYTES = 16 << 10

_encode = msgspec.json.Encoder().encode


def message_id(execution_id: uuid.UUID) -> str:
    """Return what tells one notification from all others, however often it is sent (``webhook-id``)."""
    return f"msg_{execution_id.hex}"


def notification(due: DueDelivery) -> bytes:
    """Return the body: JSON as Standard Webhooks has it, its ``data`` as REST shows an execution, in part."""
    execution = due.execution
    data: dict[str, Any] = {
        "name": str(ExecutionName(execution.id)),
        "kind": f"KIND_{execution.kind.name}",
        "state": f"STATE_{execution.state.name}",
        "createTime": _moment(execution.queued_at),
        "attempt": execution.attempt,
    }
    if execution.package_id is not None:
        function = FunctionName(execution.package_id, execution.version_id, execution.function or "")
        data["function"] = str(function)
    for name, time in (("startTime", execution.started_at), ("endTime", execution.ended_at)):
        if time is not None:
            data[name] = _moment(time)
    if execution.schedule_id is not None:
        data["schedule"] = str(ScheduleName(execution.schedule_id))
    if execution.scheduled_at is not None:
        data["scheduledTime"] = _moment(execution.scheduled_at)
    if execution.error is not None:
        # no message: it may have any length, and quotes what only a key of the project may read
        data["error"] = {"reason": f"ERROR_REASON_{execution.error.reason}"}
        if execution.error.type:
            data["error"]["type"] = execution.error.type.encode(errors="replace").decode()
    if execution.result is not None:
        data["outputJson"] = (execution.result or b"null").decode(errors="replace")
    body: dict[str, Any] = {
        "type": f"execution.{execution.state.name.lower()}",
        "timestamp": _moment(execution.ended_at or due.delivery.created_at),
        "data": data,
    }
    if due.result_omitted:
        body["outputOmitted"] = True
    return _encode(body)


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"
