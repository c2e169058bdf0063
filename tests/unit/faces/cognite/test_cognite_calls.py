from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from polycall.domain import Execution, ExecutionError, ExecutionKind, ExecutionState, Reason
from polycall.engine.limits import DEFAULTS
from polycall.faces.cognite.calls import CallBody, ResponseBody
from polycall.faces.wire import dump

_START, _END = 1730204346000, 1730204347000
_TRACE = 'Traceback (most recent call last):\n  File "handler.py", line 2, in handle\nValueError: foo\n'


def _execution(state: ExecutionState, **changes: Any) -> Execution:
    given: dict[str, Any] = {
        "id": uuid.UUID(int=7),
        "project_id": "default",
        "kind": ExecutionKind.CALL,
        "state": state,
        "queued_at": _START,
        "started_at": _START + 5,
        "ended_at": _END if state.final else None,
        "package_id": "1",
        "face": "cognite",
        "alias": "11",
        "limits": DEFAULTS,
    }
    return Execution(**given | changes)


def _failed(reason: Reason, message: str = "", traceback: str = "", **changes: Any) -> Execution:
    error = ExecutionError(reason=reason, message=message, traceback=traceback)
    return _execution(ExecutionState.FAILED, error=error, **changes)


@pytest.mark.parametrize("state", [ExecutionState.QUEUED, ExecutionState.RUNNING])
def test_a_call_runs_until_it_has_ended(state: ExecutionState) -> None:
    expected = b'{"id":11,"status":"Running","startTime":1730204346000,"functionId":1}'
    assert dump(CallBody.of(_execution(state))) == expected


def test_a_completed_call_has_an_end_and_no_error() -> None:
    shown = dump(CallBody.of(_execution(ExecutionState.COMPLETED, result=b"1")))
    assert shown == (b'{"id":11,"status":"Completed","startTime":1730204346000,"endTime":1730204347000,"functionId":1}')


def test_a_failed_call_has_the_members_of_the_document_in_its_order() -> None:
    shown = dump(CallBody.of(_failed(Reason.USER_EXCEPTION, "Cannot assign foo to bar.", _TRACE)))
    trace = json.dumps(_TRACE)
    assert (
        shown
        == (
            '{"id":11,"status":"Failed","startTime":1730204346000,"endTime":1730204347000,"error":{"trace":'
            f'{trace},"message":"Cannot assign foo to bar."}},"functionId":1}}'
        ).encode()
    )


def test_a_call_out_of_time_has_an_end_and_no_error() -> None:
    error = ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="Execution timed out after 600 s.")
    shown = dump(CallBody.of(_execution(ExecutionState.TIMEOUT, error=error)))
    assert shown == b'{"id":11,"status":"Timeout","startTime":1730204346000,"endTime":1730204347000,"functionId":1}'


def test_a_cancelled_call_failed() -> None:
    error = ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="The execution was cancelled.")
    body = CallBody.of(_execution(ExecutionState.CANCELLED, error=error))
    assert body.status == "Failed"
    assert json.loads(dump(body))["error"] == {"trace": "", "message": "The execution was cancelled."}


@pytest.mark.parametrize(
    ("reason", "message", "shown"),
    [
        (Reason.USER_EXCEPTION, "", ""),
        (Reason.USER_EXIT, "The code exited with code 3.", "The code exited with code 3."),
        (Reason.ENTRYPOINT_NOT_FOUND, "handle is not defined", "handle is not defined"),
        (
            Reason.OUTPUT_NOT_SERIALIZABLE,
            "Object of type set is not JSON serializable",
            "Function return value is not JSON serializable: Object of type set is not JSON serializable",
        ),
        (Reason.RESULT_TOO_LARGE, "x", "Function response is larger than 6 MB (responseSizeMb)."),
        (Reason.OUT_OF_MEMORY, "Killed", "MemoryError: Function ran out of memory"),
        (Reason.WORKER_LOST, "x", "The worker that ran this call was lost; the call is not run again."),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_contract(reason: Reason, message: str, shown: str) -> None:
    body = json.loads(dump(CallBody.of(_failed(reason, message))))
    assert body["status"] == "Failed"
    assert body["error"] == {"trace": "", "message": shown}


@pytest.mark.parametrize(
    "result", [b"null", b"4", b'"text"', b"[]", b'{"n": 9007199254740993, "x": 1.0}', b"0", b"false"]
)
def test_the_response_is_what_was_returned_byte_for_byte(result: bytes) -> None:
    shown = dump(ResponseBody.of(_execution(ExecutionState.COMPLETED, result=result)))
    assert shown == b'{"callId":11,"functionId":1,"response":%s}' % result


@pytest.mark.parametrize("state", [s for s in ExecutionState if s is not ExecutionState.COMPLETED])
def test_there_is_no_response_of_a_call_that_did_not_complete(state: ExecutionState) -> None:
    assert dump(ResponseBody.of(_execution(state))) == b'{"callId":11,"functionId":1}'
