"""The face over an engine in memory: what it asks for, and its records and errors to the letter."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from polycall.domain import (
    Convention,
    Execution,
    ExecutionError,
    ExecutionState,
    LimitOverrides,
    Reason,
    VersionState,
)
from polycall.engine.limits import DEFAULTS, MIB
from polycall.errors import (
    Cancelled,
    Code,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    IsolationUnavailable,
    PayloadTooLarge,
    PolycallError,
    QueueFull,
    RuntimeMissing,
    Unavailable,
)
from polycall.faces.wire import UnsupportedEncoding
from tests.unit.faces.domo.fakes import PACKAGE, Ended, World, declared, function, parameter, version

KEYS = [
    *("executionId", "packageId", "version", "functionName", "status", "settings", "startedOn", "startedBy"),
    *("completedOn", "result", "stdout", "stderr", "errorInformation"),
]
ERROR_KEYS = [
    *("result", "expectedType", "actualType", "expectedIsList", "actualIsList", "expectedAllowNull", "errorMessages"),
]
RAISED = ExecutionError(reason=Reason.USER_EXCEPTION, type="ValueError", module="builtins", message="bad")


def failed(error: ExecutionError, **changes: object) -> Ended:
    return dataclasses.replace(Ended(ExecutionState.FAILED, error=error), **changes)  # type: ignore[arg-type]


def untyped(**changes: object) -> World:
    return World(b"3", version(function("add", **changes)))


# the record


async def test_success_has_exactly_the_documented_record() -> None:
    world = World(Ended(result=b"3", stdout=b"adding\n"))
    reply = await world.post({"inputVariables": {"a": 1, "b": 2}, "settings": {"getLogs": True}})
    execution_id = str(next(iter(world.engine.made)))
    assert (reply.status, reply.code, reply.content_type) == (200, Code.OK, "application/json;charset=UTF-8")
    assert reply.body.decode() == (
        f'{{"executionId":"{execution_id}","packageId":"{PACKAGE}","version":"1.0.1","functionName":"add",'
        '"status":"SUCCESS","settings":{"getLogs":true},"startedOn":"2026-04-23T12:00:00.000Z",'
        '"startedBy":"481303514","completedOn":"2026-04-23T12:00:00.041Z","result":3,"stdout":{"log":["adding"]},'
        '"stderr":{"log":[]},"errorInformation":{"result":null,"expectedType":"number","actualType":"number",'
        '"expectedIsList":false,"actualIsList":false,"expectedAllowNull":false,"errorMessages":[]}}'
    )


@pytest.mark.parametrize("result", [b"null", b"0", b'{"n":9007199254740993,"x":1.0,"z":{"b":1,"a":2}}', b"[1, 2.0]"])
async def test_without_a_declared_output_every_value_is_a_success_and_untouched(result: bytes) -> None:
    reply = await World(result, version(function("add"))).post()
    assert b'"status":"SUCCESS"' in reply.body
    assert b'"result":' + result + b',"stdout"' in reply.body
    record = json.loads(reply.body)
    assert (list(record), list(record["errorInformation"])) == (KEYS, ERROR_KEYS)
    assert list(record["errorInformation"].values()) == [None, "", "", False, False, False, []]


async def test_an_integral_float_is_shown_as_the_declared_integer() -> None:
    assert b'"result":3,' in (await World(b"3.0").post({"inputVariables": {"a": 1, "b": 2}})).body


@pytest.mark.parametrize(
    ("output", "result", "actual", "is_list", "message"),
    [
        (declared("number"), b'"three"', "text", False, "Expected number but got text"),
        (declared("number"), b"3.5", "decimal", False, "Expected number but got decimal"),
        (declared("number"), b"true", "boolean", False, "Expected number but got boolean"),
        (declared("number"), b"[1]", "number", True, "Expected number but got list of number"),
        (declared("text", is_list=True), b'"x"', "text", False, "Expected list of text but got text"),
        (declared("text", is_list=True), b'["x", {}]', "text", True, "[1]: expected text but got object"),
        (
            declared("object", children=(parameter("id", "text"),)),
            b'{"x": 1.0}',
            "object",
            False,
            "id: expected text but it is missing",
        ),
    ],
)
async def test_a_result_of_another_type_tells_what_was_expected_and_what_came(
    output: object, result: bytes, actual: str, is_list: bool, message: str
) -> None:
    world = World(result, version(function("add", output=output)))
    reply = await world.post()
    record = json.loads(reply.body)
    assert (reply.status, record["status"], record["result"]) == (200, "RESULT_TYPE_FAILURE", None)
    assert record["errorInformation"] == {
        "result": json.loads(result),
        "expectedType": getattr(output, "type"),  # noqa: B009
        "actualType": actual,
        "expectedIsList": getattr(output, "is_list"),  # noqa: B009
        "actualIsList": is_list,
        "expectedAllowNull": False,
        "errorMessages": [message],
    }
    assert b'"errorInformation":{"result":' + result in reply.body


async def test_nothing_returned_where_an_output_is_declared() -> None:
    record = await World(b"null").run(a=1, b=2)
    assert (record["status"], record["result"]) == ("OUTPUT_UNDEFINED", None)
    assert list(record["errorInformation"].values()) == [
        *(None, "number", "null", False, False, False),
        ["Expected number but nothing was returned"],
    ]


async def test_nothing_returned_where_the_output_is_nullable() -> None:
    world = World(b"null", version(function("add", output=declared("number", nullable=True))))
    record = json.loads((await world.post()).body)
    assert (record["status"], record["result"]) == ("SUCCESS", None)
    assert list(record["errorInformation"].values()) == [None, "number", "number", False, False, True, []]


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (failed(RAISED), "ValueError: bad"),
        (failed(dataclasses.replace(RAISED, message="")), "ValueError"),
        (failed(ExecutionError(reason=Reason.OUT_OF_MEMORY, message="x")), "Function ran out of memory"),
        (failed(ExecutionError(reason=Reason.USER_EXIT, message="x"), exit_code=3), "Function exited with code 3"),
        (
            failed(ExecutionError(reason=Reason.KILLED_BY_SIGNAL, message="x"), signal=9),
            "Function was killed by signal 9 (SIGKILL)",
        ),
        (failed(ExecutionError(reason=Reason.RESULT_TOO_LARGE, message="Too large.")), "Too large."),
        (
            failed(ExecutionError(reason=Reason.ENTRYPOINT_NOT_FOUND, type="NameError", message="add is not defined")),
            "NameError: add is not defined",
        ),
        (
            Ended(ExecutionState.TIMEOUT, error=ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="x")),
            "Function timed out after 300 seconds",
        ),
        (
            Ended(
                ExecutionState.CANCELLED, error=ExecutionError(reason=Reason.EXECUTION_CANCELLED, message="Stopped.")
            ),
            "Stopped.",
        ),
    ],
)
async def test_a_failed_function_is_http_200_and_says_why(ended: Ended, message: str) -> None:
    record = await World(ended).run(a=1, b=2)
    assert list(record) == KEYS
    assert (record["status"], record["result"], record["completedOn"]) == ("FAILED", None, "2026-04-23T12:00:00.041Z")
    assert list(record["errorInformation"].values()) == [None, "number", "", False, False, False, [message]]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (declared("number"), "Expected number but the returned value cannot be held by JSON: a set"),
        (None, "The returned value cannot be held by JSON: a set"),
    ],
)
async def test_a_value_that_json_cannot_hold_is_of_the_wrong_type(output: object, message: str) -> None:
    ended = failed(ExecutionError(reason=Reason.OUTPUT_NOT_SERIALIZABLE, message="a set"))
    record = json.loads((await World(ended, version(function("add", output=output))).post()).body)
    assert record["status"] == "RESULT_TYPE_FAILURE"
    assert record["errorInformation"]["errorMessages"] == [message]


async def test_a_lost_outcome_is_undefined() -> None:
    record = await World(failed(ExecutionError(reason=Reason.WORKER_LOST, message="x"))).run(a=1, b=2)
    assert (record["status"], record["result"]) == ("UNDEFINED", None)
    assert record["errorInformation"]["errorMessages"] == ["The outcome of the execution was lost."]


async def test_logs_are_lines_and_only_shown_if_asked_for() -> None:
    ended = Ended(result=b"3", stdout=b"a\r\n\nc\xff", stderr=b"one\ntwo\n", stdout_truncated=True)
    record = await World(ended).run(a=1, b=2, get_logs=True)
    assert record["stdout"] == {"log": ["a", "", "c\ufffd", "[the output was cut at its limit]"]}
    assert record["stderr"] == {"log": ["one", "two"]}
    record = await World(ended).run(a=1, b=2)
    assert (record["stdout"], record["stderr"], record["settings"]) == ({"log": []}, {"log": []}, {"getLogs": False})


# reading an execution again


async def test_an_execution_can_be_read_again_as_it_was_answered() -> None:
    world = World(Ended(result=b'"x"', stdout=b"a\n"))
    answered = await world.post({"inputVariables": {"a": 1, "b": 2}, "settings": {"getLogs": True}})
    read = await world.get(json.loads(answered.body)["executionId"])
    assert (read.status, read.body, read.content_type) == (200, answered.body, "application/json;charset=UTF-8")


async def test_an_unfinished_execution_is_running() -> None:
    world = World()
    await world.post({"inputVariables": {"a": 1, "b": 2}})
    execution_id, execution = next(iter(world.engine.made.items()))
    world.engine.made[execution_id] = dataclasses.replace(
        execution, state=ExecutionState.RUNNING, result=None, ended_at=None
    )
    record = json.loads((await world.get(str(execution_id))).body)
    assert list(record) == KEYS
    assert (record["status"], record["completedOn"], record["result"]) == ("RUNNING", None, None)
    assert list(record["errorInformation"].values()) == [None, "number", "number", False, False, False, []]


async def test_an_execution_is_visible_under_its_own_package_only() -> None:
    world = World(b"3", version(), version(package_id="other"))
    await world.post({"inputVariables": {"a": 1, "b": 2}})
    execution_id = str(next(iter(world.engine.made)))
    reply = await world.get(execution_id, package="other")
    assert (reply.status, json.loads(reply.body)["message"]) == (404, f"Package other has no execution {execution_id}.")


@pytest.mark.parametrize("execution_id", ["none", "6d1f0a52-0000-4000-8000-000000000000"])
async def test_an_unknown_execution_is_404(execution_id: str) -> None:
    assert (await World().get(execution_id)).status == 404


async def test_an_execution_that_another_contract_made_is_not_shown() -> None:
    world = World()
    await world.post({"inputVariables": {"a": 1, "b": 2}})
    execution_id, execution = next(iter(world.engine.made.items()))
    world.engine.made[execution_id] = dataclasses.replace(execution, face=None, face_data=None)
    assert (await world.get(str(execution_id))).status == 404


async def test_reading_an_execution_checks_package_then_permission_then_execution() -> None:
    world = World()
    assert (await world.get("none", package="none", key="reader")).status == 404
    assert (await world.get("none", key="reader")).status == 403
    assert (await world.get("none", package="empty")).status == 404
    assert (await world.get("6d1f0a52-0000-4000-8000-000000000000", key="runner")).status == 404


# what the engine is asked


async def test_inputs_are_bound_by_declared_name_in_declared_order() -> None:
    world = World(
        b"3",
        version(
            function(
                "add",
                parameter("n"),
                parameter("x", "decimal"),
                parameter("y", "object", nullable=True),
                parameter("z", "text", default=b'"zz"'),
                parameter("w", "text", default=b'"ww"', nullable=True),
            )
        ),
    )
    body = b'{"inputVariables": {"w": null, "extra": 1, "x": 1.0, "n": 9007199254740993}, "settings": null, "more": 1}'
    assert (await world.post(body)).status == 200
    run = world.engine.asked
    assert run is not None
    assert run.convention is Convention.PARAMETERS
    assert run.input == b'{"n":9007199254740993,"x":1.0,"y":null,"z":"zz","w":null}'
    assert (run.package_id, run.version_id, run.function, run.fresh) == (PACKAGE, "1.0.1", "add", True)
    assert run.limits == LimitOverrides(timeout_ms=300_000, memory_bytes=1024 * MIB, stdout_bytes=MIB, stderr_bytes=MIB)


@pytest.mark.parametrize(
    ("changes", "arrives"),
    [
        ({}, b'{"b":1.0,"a":[2],"c":null}'),
        ({"accepts_any": True, "input_schema": b'{"properties":{"a":{}}}'}, b'{"b":1.0,"a":[2],"c":null}'),
        ({"input_schema": b'{"properties":{"a":{},"z":{}}}'}, b'{"a":[2]}'),
        ({"input_schema": b'{"type":"object","properties":{}}'}, b"{}"),
        ({"input_schema": b'{"type":"object"}'}, b'{"b":1.0,"a":[2],"c":null}'),
        ({"input_schema": b'{"properties":{},"additionalProperties":{}}'}, b'{"b":1.0,"a":[2],"c":null}'),
        ({"input_schema": b'{"properties":{"a":{}},"additionalProperties":false}'}, b'{"a":[2]}'),
        ({"input_schema": b'{"properties":{"a":{}}}', "convention": Convention.INPUT}, b'{"b":1.0,"a":[2],"c":null}'),
    ],
)
async def test_a_function_without_declared_inputs_takes_what_its_signature_names(
    changes: dict[str, object], arrives: bytes
) -> None:
    world = untyped(**changes)
    assert (await world.post(b'{"inputVariables": {"b": 1.0, "a": [2], "c": null}}')).status == 200
    assert world.engine.asked is not None
    assert (world.engine.asked.convention, world.engine.asked.input) == (Convention.KEYWORDS, arrives)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"inputVariables":null,"settings":{"getLogs":null}}'])
async def test_an_absent_body_is_an_empty_one(body: bytes) -> None:
    world = untyped()
    assert (await world.post(body)).status == 200
    assert world.engine.asked is not None
    assert world.engine.asked.input == b"{}"


async def test_large_values_are_read_and_shown_like_small_ones() -> None:
    numbers = b"[" + b"1.0," * 100_000 + b"2]"
    world = World(
        numbers, version(function("add", parameter("a", is_list=True), output=declared("number", is_list=True)))
    )
    reply = await world.post(b'{"inputVariables": {"a": ' + numbers + b"}}")
    assert world.engine.asked is not None
    assert world.engine.asked.input == b'{"a":' + numbers.replace(b".0", b"") + b"}"
    assert b'"result":' + numbers.replace(b".0", b"") + b"," in reply.body
    reply = await world.post(b'{"inputVariables": {"a": ' + numbers.replace(b"2]", b'"2"]') + b"}}")
    assert json.loads(reply.body)["message"] == "inputVariables.a[100000]: expected number but got text"


async def test_the_limits_of_the_version_and_of_the_operator_hold() -> None:
    world = World(b"3", version(function("add"), limits=LimitOverrides(timeout_ms=1000, stdout_bytes=0)))
    world.allow(dataclasses.replace(DEFAULTS, memory_bytes=100 * MIB))
    await world.post()
    assert world.engine.asked is not None
    assert world.engine.asked.limits == LimitOverrides(memory_bytes=100 * MIB, stderr_bytes=MIB)


async def test_what_is_kept_beside_an_execution_survives_the_store() -> None:
    output = declared("object", children=(parameter("id", "text", default=b'"x"'),))
    world = World(b"{}", version(function("add", output=output)))
    answered = await world.post({"settings": {"getLogs": True}})
    execution: Execution = next(iter(world.engine.made.values()))
    assert execution.face == "domo"
    assert isinstance(msgspec.json.decode(execution.face_data or b""), dict)
    assert (await world.get(str(execution.id))).body == answered.body


# refusals


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"inputVariables":{"a":"x","b":2}}', "inputVariables.a: expected number but got text"),
        (b'{"inputVariables":{"a":1}}', "inputVariables.b: expected number but it is missing"),
        (b'{"inputVariables":{"a":null,"b":2}}', "inputVariables.a: expected number but got null"),
        (b'{"inputVariables":{"a":[1],"b":2}}', "inputVariables.a: expected number but got list of number"),
        (
            b'{"inputVariables":{"a":1.5,"b":true}}',
            "inputVariables.a: expected number but got decimal; inputVariables.b: expected number but got boolean",
        ),
        (b'{"inputVariables":[1,2]}', "inputVariables: expected object but got list of number"),
        (b'{"inputVariables":"{}"}', "inputVariables: expected object but got text"),
        (b'{"settings":true}', "settings: expected object but got boolean"),
        (b'{"settings":{"getLogs":"true"}}', "settings.getLogs: expected boolean but got text"),
        (b"[]", "the body has the wrong shape: Expected `object`, got `array`"),
        (b"null", "the body has the wrong shape: Expected `object`, got `null`"),
        (b'{"a":\xff}', "the body is not valid UTF-8"),
        (b'{"inputVariables":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is nested too deeply"),
    ],
)
async def test_bad_input_is_400_and_nothing_runs(body: bytes, message: str) -> None:
    world = World()
    reply = await world.post(body)
    assert (reply.status, reply.code) == (400, Code.INVALID_ARGUMENT)
    assert reply.content_type == "application/json;charset=UTF-8"
    assert json.loads(reply.body) == {"status": 400, "statusReason": "Bad Request", "message": message}
    assert list(json.loads(reply.body)) == ["status", "statusReason", "message"]
    assert world.engine.asked is None


@pytest.mark.parametrize("body", [b"{", b'{"a":1,}', b"{'a':1}", b'{"inputVariables":{"a":NaN}}', b"42x"])
async def test_a_body_that_is_no_json_is_400(body: bytes) -> None:
    reply = await World().post(body)
    assert (reply.status, json.loads(reply.body)["statusReason"]) == (400, "Bad Request")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-domo-developer-token": "key"}, 200),
        ({"x-domo-developer-token": "", "x-domo-authentication": "key"}, 200),
        ({"x-domo-developer-token": "", "authorization": "Bearer key"}, 200),
        ({"x-domo-developer-token": ""}, 401),
        ({"x-domo-developer-token": "wrong"}, 401),
        ({"x-domo-developer-token": "", "authorization": "Basic key"}, 401),
        ({"x-domo-developer-token": "reader"}, 403),
    ],
)
async def test_the_token_may_come_in_three_headers(headers: dict[str, str], status: int) -> None:
    reply = await World().post({"inputVariables": {"a": 1, "b": 2}}, headers=headers)
    assert reply.status == status
    if status == 401:
        assert json.loads(reply.body)["statusReason"] == "Unauthorized"


async def test_without_a_token_the_header_is_named() -> None:
    reply = await World().post(headers={"x-domo-developer-token": ""})
    assert json.loads(reply.body) == {
        "status": 401,
        "statusReason": "Unauthorized",
        "message": "No token came with the request; send X-DOMO-Developer-Token.",
    }


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ({"package": "none"}, "Package none does not exist."),
        ({"version": "2.0"}, f"Package {PACKAGE} has no version 2.0."),
        ({"version": "-"}, f"Package {PACKAGE} has no version -."),
        (
            {"function": "sub"},
            f"Version 1.0.1 of package {PACKAGE} has no function sub; callable functions: add, getExecutionDetails.",
        ),
        (
            {"function": "secret"},
            f"Version 1.0.1 of package {PACKAGE} has no function secret; callable functions: add, getExecutionDetails.",
        ),
        (
            {"function": "_help"},
            f"Version 1.0.1 of package {PACKAGE} has no function _help; callable functions: add, getExecutionDetails.",
        ),
        ({"version": "0.9"}, f"Version 0.9 of package {PACKAGE} is not released. Release it first."),
        ({"version": "0.8"}, f"Version 0.8 of package {PACKAGE} is not released. It cannot be: main.py:1: bad"),
    ],
)
async def test_what_is_missing_is_named(path: dict[str, Any], message: str) -> None:
    functions = (function("add"), function("getExecutionDetails"), function("secret", private=True), function("_help"))
    world = World(
        b"3",
        version(*functions),
        version(id="0.9", state=VersionState.READY),
        version(id="0.8", state=VersionState.ERROR, error="main.py:1: bad"),
    )
    reply = await world.post(b"not JSON", **path)
    assert (reply.status, reply.code) == (404, Code.NOT_FOUND)
    assert json.loads(reply.body) == {"status": 404, "statusReason": "Not Found", "message": message}


async def test_the_package_is_looked_for_before_the_permission_and_the_version_after() -> None:
    headers = {"x-domo-developer-token": "reader"}
    assert (await World().post(package="none", headers=headers)).status == 404
    assert (await World().post(version="none", headers=headers)).status == 403
    assert (await World().post(function="none", headers=headers)).status == 403


@pytest.mark.parametrize(
    ("error", "status", "reason", "headers"),
    [
        (QueueFull("Full.", retry_after_s=1.2), 429, "Too Many Requests", [("retry-after", "2")]),
        (PayloadTooLarge("Large."), 413, "Payload Too Large", []),
        (UnsupportedEncoding.of("", "br"), 415, "Unsupported Media Type", []),
        (InvalidArgument.of("x", "y"), 400, "Bad Request", []),
        (RuntimeMissing("javascript is not installed."), 400, "Bad Request", []),
        (IsolationUnavailable("Level 1."), 500, "Internal Server Error", []),
        (Unavailable("Draining.", retry_after_s=0.2), 503, "Service Unavailable", [("retry-after", "1")]),
        (DeadlineExceeded("Late.", metadata={"phase": "queue"}), 429, "Too Many Requests", [("retry-after", "1")]),
        (DeadlineExceeded("Late."), 504, "Gateway Timeout", []),
        (Cancelled("Gone."), 499, "Client Closed Request", []),
        (Internal("Internal error."), 500, "Internal Server Error", []),
    ],
)
async def test_every_refusal_has_the_three_keys(
    error: PolycallError, status: int, reason: str, headers: list[tuple[str, str]]
) -> None:
    reply = await World(error).post({"inputVariables": {"a": 1, "b": 2}})
    assert (reply.status, list(reply.headers)) == (status, headers)
    assert reply.code is not Code.OK
    assert json.loads(reply.body) == {"status": status, "statusReason": reason, "message": error.message}
