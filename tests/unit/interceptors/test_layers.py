"""What every RPC passes: authentication, errors, telemetry."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2

from polycall.domain import ExecutionState
from polycall.engine.audit import AuditLog
from polycall.engine.live import Finished, Started
from polycall.errors import Code, DeadlineExceeded, PermissionDenied, Unauthenticated
from polycall.interceptors.authentication import Authentication
from polycall.interceptors.rpc import Rpc, Unread
from polycall.services import native as native_module
from polycall.v1 import execution_service_pb2, server_service_pb2
from tests.unit.services.fakes import (
    ADA,
    ID,
    KEY,
    FakeEngine,
    FakeKeys,
    details_of,
    execution,
    running,
    status_of_call,
)

EXECUTE = execution_service_pb2.ExecuteRequest(code="SOURCE-TEXT", input_json='"INPUT-TEXT"')
INFO = server_service_pb2.GetServerInfoRequest()


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [
        dict(fact.split("=", 1) for fact in record.getMessage().split())
        for record in caplog.records
        if record.name == "polycall.calls"
    ]


async def logged(caplog: pytest.LogCaptureFixture, count: int = 1) -> list[dict[str, str]]:
    """Return the log lines once there are so many: a line is written after the client has its answer."""
    async with asyncio.timeout(60):
        while len(found := lines(caplog)) < count:
            await asyncio.sleep(0.01)
    return found


# authentication


async def test_a_call_without_a_key_is_refused_before_anything_is_done() -> None:
    async with running() as native:
        native.key = None
        status = await native.refused(native.executions.Execute, EXECUTE)
        stream = await native.refused(
            native.executions.StreamExecution, execution_service_pb2.StreamExecutionRequest(execute=EXECUTE)
        )
    assert status.code == stream.code == Code.UNAUTHENTICATED
    for refusal in (status, stream):
        assert details_of(refusal) == {
            "ErrorInfo": error_details_pb2.ErrorInfo(reason="API_KEY_MISSING", domain="polycall")
        }
    assert native.engine.asked == []


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("Bearer other", "API_KEY_INVALID"),
        ("Bearer", "API_KEY_MISSING"),
        ("Bearer ", "API_KEY_MISSING"),
        (f"Basic {KEY}", "API_KEY_MISSING"),
        (KEY, "API_KEY_MISSING"),
        ("", "API_KEY_MISSING"),
    ],
)
async def test_only_a_bearer_key_of_ours_is_taken(authorization: str, reason: str) -> None:
    async with running() as native:
        call = native.info.GetServerInfo(INFO, metadata=(("authorization", authorization),))
        status = await status_of_call(call)
    assert (status.code, details_of(status)["ErrorInfo"].reason) == (Code.UNAUTHENTICATED, reason)


@pytest.mark.parametrize("authorization", [f"Bearer {KEY}", f"bearer   {KEY}", f"BEARER {KEY}"])
async def test_the_scheme_is_not_case_sensitive(authorization: str) -> None:
    async with running() as native:
        await native.info.GetServerInfo(INFO, metadata=(("authorization", authorization),))


# errors


async def test_what_was_refused_is_not_kept_until_the_collector_comes() -> None:
    wrong = execution_service_pb2.ExecuteRequest(code="x", language=77)  # type: ignore[arg-type]
    stream = execution_service_pb2.StreamExecutionRequest(execute=wrong)
    async with running() as native:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(4):  # the last may not have ended on the server yet
                await native.refused(native.executions.Execute, wrong)
                await native.refused(native.executions.StreamExecution, stream)
            gc.collect()
            kept = {type(one) for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert kept.isdisjoint({type(wrong), type(stream)})


async def test_an_unexpected_exception_tells_the_caller_nothing_but_its_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "what the user sent"
    try:
        raise KeyError(secret)
    except KeyError as cause:
        failure = ValueError(secret)
        failure.__cause__ = cause
    async with running(FakeEngine(answer=failure)) as native:
        call = native.executions.Execute(EXECUTE, metadata=(*native.metadata, ("x-request-id", "r-7")))
        status = await status_of_call(call)
    assert status.code == Code.INTERNAL
    assert status.message == "Internal error; the server's log has it under request id r-7. Report it with that id."
    assert details_of(status) == {
        "ErrorInfo": error_details_pb2.ErrorInfo(reason="INTERNAL", domain="polycall", metadata={"request_id": "r-7"}),
        "RequestInfo": error_details_pb2.RequestInfo(request_id="r-7"),
    }
    (record,) = [r for r in caplog.records if r.name == "polycall.interceptors.errors"]
    text = record.getMessage()
    assert "request=r-7 method=/polycall.v1.ExecutionService/Execute" in text
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "fakes.py" in text
    assert secret not in caplog.text


async def test_an_error_in_a_stream_comes_after_what_was_sent() -> None:
    async def failing() -> AsyncIterator[Any]:
        yield Started(execution(state=ExecutionState.RUNNING))
        raise PermissionDenied("No more.", metadata={"scope": "run"})

    async with running(FakeEngine(happening=failing)) as native:
        call = native.executions.StreamExecution(
            execution_service_pb2.StreamExecutionRequest(name=f"executions/{ID}"), metadata=native.metadata
        )
        assert (await call.read()).WhichOneof("event") == "started"
        status = await status_of_call(call)
    assert (status.code, status.message) == (Code.PERMISSION_DENIED, "No more.")
    assert details_of(status)["ErrorInfo"].metadata == {"scope": "run"}


async def test_an_answer_that_cannot_be_sent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_module, "LARGEST_MESSAGE", 1000)
    async with running(FakeEngine(answer=execution(stdout=b"x" * 2000))) as native:
        status = await native.refused(native.executions.Execute, EXECUTE)
    assert status.code == Code.RESOURCE_EXHAUSTED
    info = details_of(status)["ErrorInfo"]
    assert info.reason == "PAYLOAD_TOO_LARGE"
    assert info.metadata["limit"] == "1000"
    assert info.metadata["execution"] == f"executions/{ID}"


@pytest.mark.parametrize("method", ["/polycall.v1.ExecutionService/Nope", "/polycall.v9.X/Y", "/nothing", "/a/b/c"])
async def test_a_method_that_does_not_exist_is_unimplemented_with_its_reason(method: str) -> None:
    async with running() as native:
        status = await status_of_call(native.channel.unary_unary(method)(b""))
        stream = await status_of_call(native.channel.unary_stream(method)(b""))
    for refusal in (status, stream):
        assert refusal.code == Code.UNIMPLEMENTED
        assert details_of(refusal)["ErrorInfo"] == error_details_pb2.ErrorInfo(
            reason="UNKNOWN_METHOD", domain="polycall", metadata={"method": method}
        )


@pytest.mark.parametrize("data", [b"\x0a", b"\x12\xff\xff\xff\xff\x0f", b"\x9b\x06", b"\x0a\x01\xff"])
async def test_what_is_no_message_is_refused_as_any_request_is(caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    caplog.set_level(logging.INFO)
    service = "/polycall.v1.ExecutionService/"
    async with running() as native:
        calls = [
            native.channel.unary_unary(f"{service}RunFunction"),
            native.channel.unary_unary(f"{service}CancelExecution"),  # which is audited
            native.channel.unary_stream(f"{service}StreamExecution"),
        ]
        refused = [await native.refused(call, data) for call in calls]
        told = await logged(caplog, len(calls))
        await native.audit.flush()
        await native.do(native.info.GetServerInfo, INFO)  # it did no harm
        (events,) = [args[0] for name, args, _ in native.engine.audited.asked if name == "append_audit"]
    for status in refused:
        assert status.code == Code.INVALID_ARGUMENT
        assert status.message == "The request is no message of this method's type."
        assert details_of(status)["ErrorInfo"].reason == "INVALID_INPUT"
    assert [line["code"] for line in told] == ["INVALID_ARGUMENT"] * 3
    assert [line["key"] for line in told] == [ADA.key_id] * 3
    assert [(event.action, event.code) for event in events] == [("execution.cancel", Code.INVALID_ARGUMENT)]
    assert native.engine.asked == []
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# telemetry


async def test_a_call_leaves_one_line_with_ids_codes_and_times(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with running() as native:
        metadata = (*native.metadata, ("x-request-id", "r-1"), ("traceparent", trace))
        await native.executions.Execute(EXECUTE, metadata=metadata)
        (line,) = await logged(caplog)
    assert float(line.pop("ms")) >= 0
    assert line == {
        "method": "/polycall.v1.ExecutionService/Execute",
        "code": "OK",
        "request": "r-1",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "key": "0011",
        "state": "COMPLETED",
        "execution": f"executions/{ID}",
        "start-kind": "warm",
        "queue-ms": "1.500",
        "run-ms": "2000.001",
    }


async def test_no_line_holds_inputs_code_output_or_keys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = execution(stdout=b"OUTPUT-TEXT", result=b'"RESULT-TEXT"')
    async with running(FakeEngine(answer=answer)) as native:
        await native.do(native.executions.Execute, EXECUTE)
        await native.refused(native.executions.Execute, execution_service_pb2.ExecuteRequest(language=9))  # type: ignore[arg-type]
        await status_of_call(native.info.GetServerInfo(INFO, metadata=(("authorization", "Bearer WRONG-KEY-TEXT"),)))
        await logged(caplog, 3)
    assert "TEXT" not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (PermissionDenied("x"), "PERMISSION_DENIED"),
        (DeadlineExceeded("x"), "DEADLINE_EXCEEDED"),
        (ValueError("x"), "INTERNAL"),
    ],
)
async def test_a_failed_call_is_logged_with_its_code(
    failure: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(FakeEngine(answer=failure)) as native:
        await native.refused(native.executions.Execute, EXECUTE)
        (line,) = await logged(caplog)
    assert line["code"] == code


async def test_a_cancelled_call_is_logged_as_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with running(FakeEngine(answer=hang)) as native:
        call = native.executions.Execute(EXECUTE, metadata=native.metadata)
        await asyncio.wait_for(begun.wait(), 10)
        call.cancel()
        (line,) = await logged(caplog)
    assert line["code"] == "CANCELLED"


async def test_a_stream_is_logged_once_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def events() -> AsyncIterator[Any]:
        yield Started(execution(state=ExecutionState.RUNNING))
        yield Finished(execution(state=ExecutionState.FAILED))

    async with running(FakeEngine(happening=events)) as native:
        call = native.executions.StreamExecution(
            execution_service_pb2.StreamExecutionRequest(name=f"executions/{ID}"), metadata=native.metadata
        )
        assert len([event async for event in call]) == 2
        (line,) = await logged(caplog)
    assert (line["method"], line["code"], line["state"]) == (
        *("/polycall.v1.ExecutionService/StreamExecution", "OK", "FAILED"),
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("r-1", True),
        ("8597af82-d9bf-437f-8141-cb627555989c", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("a%0ab", False),
        ('"', False),
        ("", False),
    ],
)
async def test_a_request_id_is_kept_if_it_is_harmless(sent: str, kept: bool) -> None:
    async with running() as native:
        call = native.info.GetServerInfo(INFO, metadata=(*native.metadata, ("x-request-id", sent)))
        await call
        told = dict(await call.trailing_metadata())["x-request-id"]
    assert (told == sent) is kept
    assert kept or len(told) == 16


# what is not ours


def face(behave: Callable[..., Any]) -> Callable[[grpc.aio.Server], None]:
    def register(server: grpc.aio.Server) -> None:
        handlers = {"Do": grpc.unary_stream_rpc_method_handler(behave, bytes, bytes)}
        generic = grpc.method_handlers_generic_handler("polycall.faces.test.v1.TestService", handlers)
        server.add_generic_rpc_handlers((generic,))

    return register


async def test_a_face_is_given_grpcs_own_context_and_is_not_authenticated(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def behave(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        yield b"body of " + request
        context.set_code(grpc.StatusCode.UNAUTHENTICATED)
        context.set_details("the vendor's words")

    async with running(register=face(behave)) as native:
        do = native.channel.unary_stream("/polycall.faces.test.v1.TestService/Do")
        call = do(b"x", metadata=(("df-api-key", KEY),))
        assert await call.read() == b"body of x"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert (caught.value.code(), caught.value.details()) == (
            *(grpc.StatusCode.UNAUTHENTICATED, "the vendor's words"),
        )
        (line,) = await logged(caplog)
    assert line["method"] == "/polycall.faces.test.v1.TestService/Do"
    assert line["code"] == "UNAUTHENTICATED"
    assert "key" not in line


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ((), False),
        ((("authorization", f"Bearer {KEY}"),), True),
        ((("authorization", KEY),), False),
        ((("authorization", "Bearer other"), ("x-api-key", KEY)), True),
        ((("x-domo-developer-token", KEY),), True),
        ((("x-domo-authentication", f" {KEY} "),), True),
        ((("df-api-key", "other"),), False),
        ((("x-other", KEY),), False),
    ],
)
async def test_what_comes_without_a_valid_key_is_not_read(headers: tuple[tuple[str, str], ...], read: bool) -> None:
    async def behave(request: bytes | Unread, context: object) -> AsyncIterator[bytes]:
        yield type(request.why).__name__.encode() if isinstance(request, Unread) else b"body of " + request

    async with running(register=face(behave)) as native:
        call = native.channel.unary_stream("/polycall.faces.test.v1.TestService/Do")(b"x", metadata=headers)
        assert await call.read() == (b"body of x" if read else b"Unauthenticated")


async def test_a_method_is_looked_up_once() -> None:
    async with running() as native:
        stack = native_module.interceptors(native.engine.keys, AuditLog(native.engine.audited))[0]  # type: ignore[arg-type]
        asked = []

        async def continuation(details: object) -> object:
            asked.append(details)
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

        class Details:
            method = "/polycall.v1.ServerService/GetServerInfo"
            invocation_metadata = native.metadata

        for _ in range(2):
            await stack.intercept_service(continuation, Details())
        assert len(asked) == 1


async def test_the_key_of_a_stream_is_looked_at_again_when_one_was_revoked() -> None:
    keys = FakeKeys()
    rpc = Rpc("/polycall.v1.ExecutionService/StreamExecution", (("authorization", f"Bearer {KEY}"),))
    closed: list[Any] = []

    async def behave(request: Any, rpc: Rpc) -> AsyncIterator[Any]:
        try:
            for number in range(9):
                yield number
        finally:
            closed.append(rpc.who)

    answers: AsyncIterator[Any] = Authentication(keys).stream(behave)(EXECUTE, rpc)  # type: ignore[arg-type]
    assert await anext(answers) == 0
    assert (await anext(answers), keys.looks) == (1, 1)
    keys.revocations += 1  # of another key
    assert (await anext(answers), await anext(answers), keys.looks) == (2, 3, 2)
    keys.away = True  # nobody can look at keys, and nobody can revoke one
    keys.revocations += 1
    assert (await anext(answers), closed) == (4, [])
    keys.away, keys.revoked = False, True
    keys.revocations += 1
    with pytest.raises(Unauthenticated):
        await anext(answers)
    assert closed == [ADA]


@pytest.mark.parametrize(("revoked", "elsewhere", "late_s"), [(True, 1, 0), (True, 0, 2), (False, 1, 0), (False, 0, 2)])
async def test_a_key_that_may_have_ended_while_the_message_came_is_looked_at_again(
    revoked: bool, elsewhere: int, late_s: float
) -> None:
    keys, done = FakeKeys(), []
    authentication = Authentication(keys)  # type: ignore[arg-type]
    rpc = Rpc("/polycall.v1.ServerService/GetServerInfo", (("authorization", f"Bearer {KEY}"),))
    assert await authentication.lets_in(rpc)

    async def behave(request: Any, rpc: Rpc) -> Any:
        done.append(rpc.who)
        return request

    keys.revoked = revoked
    keys.revocations += elsewhere
    rpc.came_at -= late_s
    call = authentication.unary(behave)
    if revoked:
        with pytest.raises(Unauthenticated):
            await call(INFO, rpc)
        assert done == []
    else:
        await call(INFO, rpc)
        assert done == [ADA]
