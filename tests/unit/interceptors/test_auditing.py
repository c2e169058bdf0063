"""What was done is in the audit log before it is answered, or it is not answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from polycall.acts import AuditEvent, AuditOutcome, by, current
from polycall.errors import Code, PermissionDenied, Unavailable
from polycall.interceptors.actions import ACTIONS, Action
from polycall.v1 import execution_service_pb2
from tests.unit.interceptors.test_layers import face
from tests.unit.services.fakes import ADA, ID, KEY, FakeEngine, Native, running

DO = "/polycall.faces.test.v1.TestService/Do"
NAME = f"executions/{ID}"
CANCEL = execution_service_pb2.CancelExecutionRequest(name=NAME)
READ = execution_service_pb2.GetExecutionRequest(name=NAME)


def written(native: Native) -> list[AuditEvent]:
    return [event for name, (events,), _ in native.engine.audited.asked if name == "append_audit" for event in events]


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTIONS, DO, Action("thing.do"))


async def test_what_changes_nothing_in_the_store_is_written_before_it_is_answered() -> None:
    async with running() as native:
        await native.do(native.executions.CancelExecution, CANCEL)
        (event,) = written(native)
        assert (event.action, event.resource, event.outcome) == ("execution.cancel", NAME, AuditOutcome.DONE)
        assert event.client == "127.0.0.1"
        await native.do(native.executions.GetExecution, READ)
        assert len(written(native)) == 1


async def test_without_its_event_nothing_is_answered() -> None:
    async with running() as native:
        native.engine.audited.answer = Unavailable("away")
        status = await native.refused(native.executions.CancelExecution, CANCEL)
        assert status.code == Code.UNAVAILABLE


@pytest.mark.usefixtures("changes")
async def test_a_face_is_held_to_it_too() -> None:
    seen: list[Any] = []

    async def behave(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        by(ADA)
        seen.append(current())
        yield b"done"

    async with running(register=face(behave)) as native:
        call = native.channel.unary_stream(DO)
        assert await call(b"x", metadata=(("x-api-key", KEY),)).read() == b"done"
        (event,) = written(native)
        assert (event.action, event.actor, event.face, event.method) == ("thing.do", ADA.key_id, "test", DO)
        native.engine.audited.answer = Unavailable("away")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"x", metadata=(("x-api-key", KEY),)).read()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [act.closed for act in seen] == [True, True]  # nothing is done under them any more


@pytest.mark.usefixtures("changes")
async def test_what_a_face_refuses_is_counted_and_not_written_at_once() -> None:
    async def behave(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        by(ADA)
        yield b"no"
        context.set_code(grpc.StatusCode.NOT_FOUND)

    async with running(register=face(behave)) as native:
        call = native.channel.unary_stream(DO)(b"x", metadata=(("x-api-key", KEY),))
        assert await call.read() == b"no"
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert written(native) == []
        await native.audit.flush()
        (event,) = written(native)
        assert (event.action, event.outcome, event.code) == ("thing.do", AuditOutcome.REFUSED, Code.NOT_FOUND)


async def test_a_read_is_counted_if_it_is_not_allowed_and_not_if_there_is_nothing() -> None:
    engine = FakeEngine(answer=PermissionDenied("no"))
    async with running(engine) as native:
        await native.refused(native.executions.GetExecution, READ)
        engine.answer = Unavailable("away")
        await native.refused(native.executions.GetExecution, READ)
        await native.audit.flush()
        (event,) = written(native)
        assert (event.action, event.code, event.count) == ("access", Code.PERMISSION_DENIED, 1)
