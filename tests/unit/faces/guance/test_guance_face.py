"""The face over an engine in memory: what it asks for, and both envelopes to the letter."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime

import pytest
from google.api.httpbody_pb2 import HttpBody
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import ExecutionError, ExecutionState, LimitOverrides, Limits, Reason
from polycall.engine.limits import MIB
from polycall.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    IsolationUnavailable,
    LimitOutOfRange,
    NotReady,
    PayloadTooLarge,
    PolycallError,
    QueueFull,
    RuntimeMissing,
    Unavailable,
)
from polycall.faces.guance.envelope import Exchange
from polycall.faces.guance.errors import Refused
from polycall.faces.guance.request import read_options
from polycall.faces.reply import Inbound
from polycall.faces.wire import Malformed, UnsupportedEncoding
from tests.unit.faces.guance.fakes import NOW, World, execution, version

GATEWAY_KEYS = ["code", "content", "errorCode", "message", "success", "traceId"]
FAILURE_KEYS = [
    *("detail", "error", "message", "ok", "reason", "reqCost", "reqDump", "reqTime", "respTime", "traceId"),
]
EXAMPLE = {"kwargs": {"workspace_token": {}, "workspace_uuid": {}, "your_name": {"default": "OpenAPI User"}}}
DUMP = """{
  "kwargs": {
    "workspace_token": {},
    "workspace_uuid": {},
    "your_name": {
      "default": "OpenAPI User"
    }
  }
}"""
STOPPED = {"einfoTEXT": "billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded()"}


def raised(kind: str, message: str, module: str = "builtins", traceback: str = "") -> ExecutionError:
    error = ExecutionError(reason=Reason.USER_EXCEPTION, type=kind, message=message, module=module)
    return ExecutionError(reason=error.reason, type=kind, message=message, module=module, traceback=traceback)


# success


async def test_success_has_exactly_the_documented_fields_in_order() -> None:
    world = World(b'"Hello, Tom"')
    reply = await world.post(
        {"funcId": "guance__openapi.test", "funcBody": {"kwargs": {"name": "Tom"}}}, headers={"x-trace-id": "mine"}
    )
    answer = json.loads(reply.body)
    cost, responded = answer["content"]["reqCost"], answer["content"]["respTime"]
    assert (reply.status, reply.code, reply.content_type, list(reply.headers)) == (200, Code.OK, "application/json", [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", responded)
    assert type(cost) is int
    assert reply.body.decode() == (
        '{"code":200,"content":{"data":{"result":"Hello, Tom"},"error":200,"message":"","ok":true,'
        f'"reqCost":{cost},"reqTime":"2022-09-08T03:54:24.529Z","respTime":"{responded}","traceId":"mine"}},'
        '"errorCode":"","message":"","success":true,"traceId":"mine"}'
    )


async def test_a_trace_id_is_made_if_none_came() -> None:
    answer = json.loads((await World().post({"funcId": "guance__openapi.test"})).body)
    assert re.fullmatch(r"TRACE-[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}", answer["traceId"])
    assert answer["content"]["traceId"] == answer["traceId"]


@pytest.mark.parametrize("result", [b"0", b"false", b'""', b"null", b"[]", b"{}", b'{"n":9007199254740993,"x":1.0}'])
async def test_every_result_is_spliced_in_untouched(result: bytes) -> None:
    world = World(result)
    reply = await world.post({"funcId": "guance__openapi.test"})
    assert b'"content":{"data":{"result":' + result + b'},"error":200,' in reply.body
    reply = await world.post({"funcId": "guance__openapi.test", "funcBody": {"options": {"unfold": True}}})
    assert reply.body.startswith(b'{"code":200,"content":' + result + b',"errorCode":"","message":""')


async def test_the_engine_is_asked_for_a_fresh_run_with_the_vendors_limits() -> None:
    world = World()
    kwargs = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
    before = time.monotonic()
    await world.post(b'{"funcId": "guance__openapi.test", "funcBody": {"kwargs": ' + kwargs + b"}}")
    run, options = world.engine.asked, world.engine.options
    assert run is not None
    assert options is not None
    assert options.expires_at is not None
    assert (run.package_id, run.version_id, run.function, run.fresh) == ("guance__openapi", "3", "test", True)
    assert (run.convention, run.input, run.adapter) == ("keywords", kwargs, "guance")
    told = {"scriptId": "guance__openapi", "chain": ["guance__openapi.test"]}  # raw is the default
    assert json.loads(run.adapter_options) == told
    assert run.limits == LimitOverrides(
        timeout_ms=14_500, memory_bytes=512 * MIB
    )  # api_timeout=15, half a second early
    assert 14.5 <= options.expires_at - before < 15.5
    assert (options.face, options.alias is not None and options.alias[:5]) == ("guance", "task-")


async def test_the_request_and_the_version_lower_the_limits() -> None:
    world = World(of=version(limits=LimitOverrides(timeout_ms=1000, memory_bytes=64 * MIB)))
    await world.execute({"options": {"apiTimeout": 2}})
    assert world.engine.asked is not None
    assert world.engine.asked.limits == LimitOverrides(timeout_ms=1000)  # the version's own memory stands
    world = World()
    await world.execute({"options": {"apiTimeout": 2}})
    assert world.engine.asked is not None
    assert world.engine.asked.limits.timeout_ms == 1500


async def test_the_vendors_defaults_stay_within_what_the_operator_allows() -> None:
    world = World()
    small = Limits(
        timeout_ms=5000,
        memory_bytes=100 * MIB,
        **dict.fromkeys(["processes", "open_files", "disk_bytes", "result_bytes", "stdout_bytes", "stderr_bytes"], 1),
    )
    world.engine.limits = type(world.engine.limits)(maximums=small)
    await world.execute()
    assert world.engine.asked is not None
    assert world.engine.asked.limits == LimitOverrides(timeout_ms=5000, memory_bytes=100 * MIB)


# asynchronous


async def test_an_asynchronous_call_answers_null_at_once() -> None:
    world = World(execution(ExecutionState.QUEUED))
    content = await world.execute({"options": {"execMode": "async", "unfold": True}})
    assert list(content) == ["data", "error", "message", "ok", "reqCost", "reqTime", "respTime", "traceId"]
    assert (content["data"], content["error"], content["ok"], world.engine.verb) == (None, 200, True, "call")
    assert world.engine.asked is not None
    assert world.engine.options is not None
    assert (world.engine.asked.limits.timeout_ms, world.engine.options.expires_at) == (20_000, None)
    assert json.loads(world.engine.asked.adapter_options)["returnType"] == "ALL"
    assert world.engine.options.max_attempts == 1


async def test_an_asynchronous_call_with_saved_result_answers_its_task() -> None:
    world = World(execution(ExecutionState.QUEUED))
    content = await world.execute({"options": {"execMode": "async", "saveResult": True, "eta": "2020-01-01T00:00:00Z"}})
    assert world.engine.options is not None
    task_id = world.engine.options.alias
    assert content["data"] == {"taskId": task_id, "resultURL": f"/api/v1/func-result?taskId={task_id}"}


async def test_a_start_in_the_future_waits() -> None:
    world = World(execution(ExecutionState.QUEUED))
    at = datetime.fromtimestamp(NOW / 1000 + 90, UTC)
    await world.execute({"options": {"execMode": "async", "eta": at.isoformat()}})
    assert world.engine.options is not None
    assert world.engine.options.delay_s == pytest.approx(90, abs=0.01)


async def test_a_start_in_the_far_future_is_refused() -> None:
    world = World()
    content = await world.execute({"options": {"execMode": "async", "eta": "2199-01-01T00:00:00+08:00"}})
    assert (content["error"], content["detail"], world.engine.verb) == (
        400.43,
        {"message": "Field `eta` is later than 30 days from now."},
        "",
    )


# failures of the function


async def test_a_failed_function_has_exactly_the_documented_fields_in_order() -> None:
    text = "redis.exceptions.DataError: Invalid input of type: 'dict'. Convert to a bytes, string, int or float first."
    error = raised(
        "DataError", "…", "redis.exceptions", f'Traceback (most recent call last):\n  File "main.py"\n{text}\n'
    )
    world = World(execution(ExecutionState.FAILED, error))
    reply = await world.post({"funcId": "guance__openapi.test", "funcBody": EXAMPLE})
    answer = json.loads(reply.body)
    content = answer["content"]
    assert (reply.status, reply.code) == (200, Code.OK)
    assert list(answer) == GATEWAY_KEYS
    assert list(content) == FAILURE_KEYS
    assert content["detail"] == {"einfoTEXT": text, "id": world.engine.options.alias if world.engine.options else ""}
    assert re.fullmatch(r"task-[0-9A-Za-z]{12}", content["detail"]["id"])
    assert content["reqDump"] == {"bodyDump": DUMP, "method": "POST", "url": "/api/v1/func/guance__openapi.test"}
    assert (content["message"], content["ok"], content["reason"]) == ("Calling Function failed", False, "EFuncFailed")
    assert b'"error":599.3,' in reply.body


@pytest.mark.parametrize(
    ("error", "changes", "text"),
    [
        (raised("ValueError", "a\nb", traceback="Traceback:\nValueError: a\nb\n\n"), {}, "b"),
        (raised("ValueError", "bad"), {}, "ValueError: bad"),
        (raised("Mine", "", "main"), {}, "main.Mine"),
        (raised("ExceptionGroup", "two (2)", traceback="  | x\n  +-------\n"), {}, "ExceptionGroup: two (2)"),
        (ExecutionError(reason=Reason.OUT_OF_MEMORY, message="x"), {}, "MemoryError: memory limit exceeded"),
        (
            ExecutionError(reason=Reason.OUTPUT_NOT_SERIALIZABLE, message="Circular reference detected"),
            {},
            "Exception: Func Response cannot been serialized: Circular reference detected",
        ),
        (
            ExecutionError(reason=Reason.USER_EXIT, message="x"),
            {"exit_code": 3},
            "billiard.exceptions.WorkerLostError: Worker exited prematurely: exitcode 3.",
        ),
        (
            ExecutionError(reason=Reason.KILLED_BY_SIGNAL, message="x"),
            {"signal": 9},
            "billiard.exceptions.WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL).",
        ),
        (
            ExecutionError(reason=Reason.KILLED_BY_SIGNAL, message="x"),
            {"signal": 99},
            "billiard.exceptions.WorkerLostError: Worker exited prematurely: signal 99 (real-time).",
        ),
        (None, {}, "billiard.exceptions.WorkerLostError: Worker exited prematurely."),
        (ExecutionError(reason=Reason.RESULT_TOO_LARGE, message="Too large."), {}, "Exception: Too large."),
    ],
)
async def test_the_end_of_a_function_in_one_line(
    error: ExecutionError | None, changes: dict[str, int], text: str
) -> None:
    content = await World(execution(ExecutionState.FAILED, error, **changes)).execute()
    assert (content["reason"], content["error"]) == ("EFuncFailed", 599.3)
    assert content["detail"]["einfoTEXT"] == text


@pytest.mark.parametrize(
    "outcome",
    [
        execution(ExecutionState.TIMEOUT, ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="x")),
        DeadlineExceeded("late", metadata={"phase": "queue"}),
    ],
)
async def test_a_slow_function_and_a_long_queue_are_a_timeout(outcome: object) -> None:
    world = World(outcome)  # type: ignore[arg-type]
    content = await world.execute({"options": {"unfold": True}})
    assert (content["error"], content["reason"]) == (599.31, "EFuncTimeout")
    assert content["message"] == "Calling Function timeout"
    assert world.engine.options is not None
    assert content["detail"] == {**STOPPED, "id": world.engine.options.alias}


async def test_a_function_that_the_script_does_not_offer_is_unknown() -> None:
    error = ExecutionError(reason=Reason.ENTRYPOINT_NOT_FOUND, message="test is not defined", type="NameError")
    content = await World(execution(ExecutionState.FAILED, error)).execute()
    assert (content["error"], content["reason"]) == (404.41, "EClientNotFound")
    assert (content["message"], content["detail"]) == ("No such Func", {"funcId": "guance__openapi.test"})


# refusals inside content


@pytest.mark.parametrize("func_id", ["guance__openapi.none", "guance__other.test", "hello_world_msg", "a b/ü?"])
async def test_an_unknown_function_is_404_41_inside_http_200(func_id: str) -> None:
    reply = await World().post({"funcId": func_id, "funcBody": {}})
    content = json.loads(reply.body)["content"]
    assert (reply.status, reply.code) == (200, Code.OK)
    assert list(content) == FAILURE_KEYS
    assert b'"error":404.41,' in reply.body
    assert content["detail"] == {"funcId": func_id}
    assert list(content["reqDump"]) == ["method", "url"]  # an empty body is not dumped


async def test_the_url_of_the_dump_is_a_url() -> None:
    content = json.loads((await World().post({"funcId": "a b/ü?"})).body)["content"]
    assert content["reqDump"]["url"] == "/api/v1/func/a%20b/%C3%BC%3F"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"timeout": 5}, "Found unexpected field `timeout`"),
        ({"options": {"timeout": 5}}, "Found unexpected field `timeout`"),
        ({"options": {"returntype": "raw"}}, "Found unexpected field `returntype`"),
        ([], 'Field `funcBody` value `[]` is not valid. (type = "json")'),
        ("{}", 'Field `funcBody` value `"{}"` is not valid. (type = "json")'),
        ({"kwargs": [1]}, 'Field `kwargs` value `[1]` is not valid. (type = "json")'),
        ({"kwargs": "{}"}, 'Field `kwargs` value `"{}"` is not valid. (type = "json")'),
        ({"kwargs": 5}, 'Field `kwargs` value `5` is not valid. (type = "json")'),
        ({"options": []}, 'Field `options` value `[]` is not valid. (type = "json")'),
        (
            {"options": {"returnType": "x"}},
            'Field `returnType` value `"x"` is not valid. (in = ["ALL","raw","repr","jsonDumps"])',
        ),
        (
            {"options": {"returnType": "Raw"}},
            'Field `returnType` value `"Raw"` is not valid. (in = ["ALL","raw","repr","jsonDumps"])',
        ),
        ({"options": {"execMode": 1}}, 'Field `execMode` value `1` is not valid. (in = ["sync","async"])'),
        ({"options": {"apiTimeout": 60}}, "Field `apiTimeout` value `60` is not valid. (maxValue = 30)"),
        ({"options": {"apiTimeout": 0}}, "Field `apiTimeout` value `0` is not valid. (minValue = 1)"),
        ({"options": {"apiTimeout": "5"}}, 'Field `apiTimeout` value `"5"` is not valid. (type = "integer")'),
        ({"options": {"apiTimeout": 5.5}}, 'Field `apiTimeout` value `5.5` is not valid. (type = "integer")'),
        ({"options": {"apiTimeout": True}}, 'Field `apiTimeout` value `true` is not valid. (type = "integer")'),
        ({"options": {"apiTimeout": [5]}}, 'Field `apiTimeout` value `[5]` is not valid. (type = "integer")'),
        ({"options": {"unfold": "true"}}, 'Field `unfold` value `"true"` is not valid. (type = "boolean")'),
        ({"options": {"saveResult": 1}}, 'Field `saveResult` value `1` is not valid. (type = "boolean")'),
        ({"options": {"eta": "soon"}}, 'Field `eta` value `"soon"` is not valid. (type = "ISO8601")'),
        ({"options": {"eta": 5}}, 'Field `eta` value `5` is not valid. (type = "ISO8601")'),
    ],
)
async def test_a_bad_body_names_the_field(body: object, message: str) -> None:
    world = World()
    content = await world.execute(body)
    assert list(content) == FAILURE_KEYS
    assert (content["error"], content["reason"]) == (400.43, "EClientBadRequest")
    assert content["message"] == "Invalid request body"
    assert content["detail"] == {"message": message}
    assert world.engine.verb == ""


async def test_a_long_value_is_not_repeated_whole() -> None:
    content = await World().execute({"kwargs": "x" * 1000})
    assert content["detail"]["message"] == f'Field `kwargs` value `"{"x" * 199}...` is not valid. (type = "json")'


async def test_null_is_absent() -> None:
    for body in (
        None,
        {},
        {"kwargs": None, "options": None},
        {"options": dict.fromkeys(["returnType", "apiTimeout", "execMode", "unfold", "saveResult", "eta"])},
    ):
        world = World()
        assert (await world.execute(body))["ok"] is True
        assert world.engine.asked is not None
        assert (world.engine.asked.input, world.engine.verb) == (b"{}", "run")


async def test_a_whole_number_may_be_written_as_a_float() -> None:
    world = World()
    assert (await world.execute({"options": {"apiTimeout": 5.0}}))["ok"] is True


async def test_members_beside_the_known_two_are_ignored() -> None:
    reply = await World().post({"funcId": "guance__openapi.test", "more": 1})
    assert json.loads(reply.body)["content"]["ok"] is True


@pytest.mark.parametrize(
    ("error", "number", "reason", "message"),
    [
        (
            QueueFull("Full.", retry_after_s=1),
            b"429.46",
            "EClientRateLimit.WorkerQueueLength",
            "Too many tasks in queue",
        ),
        (RuntimeMissing("No deno."), b"400.44", "EClientUnsupported", "No deno."),
        (IsolationUnavailable("Level 1."), b"500.5", "ESys", "Level 1."),
        (FailedPrecondition("No."), b"500.5", "ESys", "No."),
        (Unavailable("Draining."), b"503.1", "ESysLimitReached", "Draining."),
        (LimitOutOfRange.of("limits.timeout", "x"), b"503.1", "ESysLimitReached", "limits.timeout: x"),
        (InvalidArgument.of("input", "too deep"), b"400.43", "EClientBadRequest", "Invalid request body"),
    ],
)
async def test_what_the_engine_refuses_stays_in_the_envelope(
    error: PolycallError, number: bytes, reason: str, message: str
) -> None:
    reply = await World(error).post({"funcId": "guance__openapi.test", "funcBody": {"kwargs": {"a": 1}}})
    content = json.loads(reply.body)["content"]
    assert (reply.status, reply.code) == (200, Code.OK)
    assert list(content) == FAILURE_KEYS
    assert b'"error":' + number + b"," in reply.body
    assert (content["reason"], content["message"], content["ok"]) == (reason, message, False)
    assert content["reqDump"]["bodyDump"] == '{\n  "kwargs": {\n    "a": 1\n  }\n}'


async def test_a_script_that_could_not_be_read_failed_its_pre_check() -> None:
    content = await World(NotReady("It cannot be run:\nmain.py:1: invalid syntax")).execute()
    assert (content["error"], content["reason"]) == (599.2, "EScriptPreCheck")
    assert content["detail"]["einfoTEXT"] == "main.py:1: invalid syntax"
    assert content["message"].startswith("Code pre-check failed. Script raised an EXCEPTION during executing, ")


# the gateway's errors


@pytest.mark.parametrize(
    ("error", "status", "error_code", "message"),
    [
        (Malformed.of("", "not JSON"), 400, "ft.InvalidParameter", "not JSON"),
        (UnsupportedEncoding.of("", "br"), 415, "ft.InvalidParameter", "br"),
        (PayloadTooLarge("Too large."), 413, "ft.InvalidParameter", "Too large."),
        (Internal("Internal error."), 500, "ft.InternalError", "Internal error."),
        (Cancelled("Gone."), 500, "ft.InternalError", "Gone."),
        (AlreadyExists("t", "n"), 500, "ft.InternalError", "n already exists."),
    ],
)
async def test_the_gateways_errors_are_http_errors(
    error: PolycallError, status: int, error_code: str, message: str
) -> None:
    reply = await World(error).post({"funcId": "guance__openapi.test"}, headers={"x-trace-id": "t"})
    assert reply.status == status
    assert reply.code is not Code.OK
    assert reply.body.decode() == (
        f'{{"code":{status},"content":{{}},"errorCode":"{error_code}","message":"{message}","success":false,"traceId":"t"}}'
    )


@pytest.mark.parametrize("key", [None, "", "wrong"])
@pytest.mark.parametrize(("auth_status", "code"), [(403, Code.PERMISSION_DENIED), (401, Code.UNAUTHENTICATED)])
async def test_a_bad_key_has_the_status_of_the_installation(key: str | None, auth_status: int, code: Code) -> None:
    reply = await World(auth_status=auth_status).post(b"not even JSON", key=key, headers={"x-trace-id": "t"})
    assert (reply.status, reply.code) == (auth_status, code)
    assert reply.body.decode() == (
        f'{{"code":{auth_status},"content":{{}},"errorCode":"ft.InvalidAPIKey","message":"Invalid API Key",'
        '"success":false,"traceId":"t"}'
    )


async def test_a_key_that_may_not_run_says_what_it_lacks() -> None:
    reply = await World().post({"funcId": "guance__openapi.test"}, key="reader")
    assert (reply.status, reply.code) == (403, Code.PERMISSION_DENIED)
    answer = json.loads(reply.body)
    assert answer["errorCode"] == "ft.InvalidAPIKey"
    assert "scope `run`" in answer["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"funcId":null}',
        b'{"funcId":""}',
        b'{"funcId":5}',
        b'{"funcId":["a__b.f"]}',
        b'{"funcId":"a__b.f","funcBody":{"kwargs":{"x":NaN}}}',
        b'{"funcId":"a__b.f",}',
        b'{"funcId":"\xff"}',
        b'{"funcId":"\\ud800"}',
        b'{"funcId":"a__b.f","funcBody":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
async def test_a_body_without_a_function_is_http_400(body: bytes) -> None:
    reply = await World().post(body)
    answer = json.loads(reply.body)
    assert (reply.status, reply.code) == (400, Code.INVALID_ARGUMENT)
    assert list(answer) == GATEWAY_KEYS
    assert (answer["code"], answer["content"], answer["errorCode"]) == (400, {}, "ft.InvalidParameter")
    assert answer["message"]


# the dump


@pytest.mark.parametrize(
    ("sent", "dumped"),
    [
        (rb'{"kwargs":{"a":"\u00e9\n\u0041\"\\u00e9","b":[1.0,1e5,9007199254740993]}}', None),
        (rb'{"kwargs":{"a":"\ud83d\ude00"}}', '{\n  "kwargs": {\n    "a": "😀"\n  }\n}'),
    ],
)
async def test_the_dump_shows_text_plainly_and_numbers_as_sent(sent: bytes, dumped: str | None) -> None:
    reply = await World(QueueFull("")).post(b'{"funcId":"guance__openapi.test","funcBody":' + sent + b"}")
    dump = json.loads(reply.body)["content"]["reqDump"]["bodyDump"]
    if dumped is None:
        dumped = (
            '{\n  "kwargs": {\n    "a": "é\\nA\\"\\\\u00e9",\n    "b": [\n      1.0,\n      1e5,\n      '
            "9007199254740993\n    ]\n  }\n}"
        )
    assert dump == dumped


@pytest.mark.parametrize(("extra", "cut"), [(0, False), (1, True)])
async def test_a_long_dump_is_cut_and_says_its_length(extra: int, cut: bool) -> None:
    frame = '{\n  "kwargs": {\n    "a": ""\n  }\n}'
    text = "é" * (1000 - len(frame) + extra)
    content = await World(QueueFull("")).execute({"kwargs": {"a": text}})
    dump = content["reqDump"]["bodyDump"]
    whole = frame.replace('""', f'"{text}"')
    assert dump == (f"{whole[:997]}...\n <Length: 1001>" if cut else whole)


async def test_a_very_long_dump_is_cut_as_it_was_sent() -> None:
    content = await World(QueueFull("")).execute({"kwargs": {"a": "x" * 100_000}})
    dump = content["reqDump"]["bodyDump"]
    assert dump.endswith("x...\n <Length: 100033>")
    assert len(dump) == 997 + len("...\n <Length: 100033>")


async def test_nesting_at_the_edge_of_what_can_be_read_is_answered() -> None:
    seen = set()
    for depth in range(900, 1010):
        kwargs = b'{"x":' * depth + b"1" + b"}" * depth
        body = b'{"funcId":"guance__openapi.test","funcBody":{"kwargs":' + kwargs + b"}}"
        reply = await World(QueueFull("")).post(body)
        answer = json.loads(reply.body)
        if reply.status == 200:
            assert answer["content"]["error"] == 429.46
            assert answer["content"]["reqDump"]["bodyDump"]
        seen.add(reply.status)
    assert seen == {200, 400}


def test_every_exchange_has_a_task_id_of_the_vendors_form() -> None:
    ids = {Exchange(Inbound(method="", message=HttpBody(), body=b"")).task_id for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"task-[0-9A-Za-z]{12}", task_id) for task_id in ids)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(["kwargs", "options", "returnType", "apiTimeout", "execMode", "unfold", "saveResult", "eta"])


@given(st.dictionaries(names, st.dictionaries(names, json_values, max_size=3) | json_values, max_size=3))
def test_a_body_is_read_or_refused_and_nothing_else(body: dict[str, object]) -> None:
    try:
        options = read_options(json.dumps(body).encode(), datetime.fromtimestamp(NOW / 1000, UTC))
    except Refused:
        return
    else:
        assert json.loads(options.kwargs) == (body.get("kwargs") or {})
        assert set(body) <= {"kwargs", "options"}


async def test_a_dump_that_would_be_a_thousand_times_as_large_indented_is_repeated_as_sent() -> None:
    nested = b'{"kwargs":{"a":' + b"[" * 900 + b"1," * 30_000 + b"1" + b"]" * 900 + b"}}"
    for sent in (nested, nested.replace(b"1,", b"1," * 20)):
        reply = await World(QueueFull("")).post(b'{"funcId":"guance__openapi.test","funcBody":' + sent + b"}")
        dump = json.loads(reply.body)["content"]["reqDump"]["bodyDump"]
        assert dump == f"{sent.decode()[:997]}...\n <Length: {len(sent)}>"
    deep = b'{"kwargs":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    reply = await World(QueueFull("")).post(b'{"funcId":"guance__openapi.test","funcBody":' + deep + b"}")
    assert json.loads(reply.body)["content"]["reqDump"]["bodyDump"].startswith('{\n  "kwargs": {\n    "a": [\n      [')
