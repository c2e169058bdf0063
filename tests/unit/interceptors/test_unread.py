"""A call whose key could not be looked at, because the database was away: its key is not said to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api.httpbody_pb2 import HttpBody

from polycall.domain import Principal, Reason
from polycall.engine.audit import AuditLog
from polycall.errors import Code, PolycallError, Unauthenticated, Unavailable, code_of
from polycall.faces.adapter import bearer, mount
from polycall.faces.reply import Inbound, Reply
from polycall.faces.riza.v1 import tools_pb2
from polycall.interceptors.authentication import Authentication
from polycall.services.native import interceptors
from polycall.v1 import execution_service_pb2
from tests.unit.services.fakes import ADA, KEY, FakeEngine, FakeKeys, details_of, running

_TOOLS = tools_pb2.DESCRIPTOR.services_by_name["ToolsService"]
AWAY = Unavailable("The database does not answer.", reason=Reason.STORE_UNAVAILABLE)
WRONG = Unauthenticated("This API key is not valid.")


class Looks(FakeKeys):
    """Keys whose looks end as a test says, one after the other; from then on all are found."""

    def __init__(self, *ends: PolycallError) -> None:
        super().__init__()
        self.ends = list(ends)
        self.count = 0

    def at_hand(self, token: str | None) -> None:
        """Know none without a look-up."""

    async def authenticate(self, token: str | None) -> Principal:
        self.count += 1
        if self.ends:
            raise self.ends.pop(0)
        return ADA


@pytest.mark.parametrize(("end", "code"), [(AWAY, Code.UNAVAILABLE), (WRONG, Code.UNAUTHENTICATED)])
async def test_what_the_first_look_at_a_key_says_of_a_native_call_is_told_and_no_other_look_is_made(
    end: PolycallError, code: Code
) -> None:
    keys = Looks(end)
    async with running(FakeEngine(keys=keys)) as native:
        request = execution_service_pb2.ExecuteRequest(code="x")
        status = await native.refused(native.executions.Execute, request)
        assert (status.code, details_of(status)["ErrorInfo"].reason) == (code, end.reason)
        assert (keys.count, native.engine.asked) == (1, [])
        await native.do(native.executions.Execute, request)


class Face:
    """Authenticates, then reads as a test says."""

    name = "riza"
    body_limit = 100

    def __init__(self, keys: FakeKeys, reads: str) -> None:
        self._keys = keys
        self._reads = reads
        self.handlers = {method.name: self.handle for method in _TOOLS.methods}

    async def handle(self, inbound: Inbound) -> Reply:
        await self._keys.authenticate(bearer(inbound.headers))
        if self._reads == "variable":
            return Reply(body=inbound.variable("tool_id").encode())
        return Reply(body=await inbound.read() if self._reads == "body" else b"nothing")

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        return Reply(body=type(error).__name__.encode(), status=418, code=code_of(error), message=error.message)


async def answer(keys: FakeKeys, reads: str) -> tuple[bytes, grpc.StatusCode]:
    """Return body and code of a call of a face's method behind a gateway."""
    server = grpc.aio.server(interceptors=interceptors(keys, AuditLog(FakeKeys()), doors={}))  # type: ignore[arg-type]
    mount(server, _TOOLS, Face(keys, reads))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_stream(
                f"/{_TOOLS.full_name}/ExecuteTool",
                request_serializer=tools_pb2.ExecuteToolRequest.SerializeToString,
                response_deserializer=HttpBody.FromString,
            )(
                tools_pb2.ExecuteToolRequest(tool_id="t-1", body=HttpBody(data=b"sent")),
                metadata=(("authorization", f"Bearer {KEY}"),),
                timeout=20,
            )
            return (await call.read()).data, await call.code()
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("ends", "reads", "body", "code"),
    [
        ([], "variable", b"t-1", grpc.StatusCode.OK),
        ([], "body", b"sent", grpc.StatusCode.OK),
        # what was sent with it was not read, so nothing can be done by it
        ([AWAY], "variable", b"Unavailable", grpc.StatusCode.UNAVAILABLE),
        ([AWAY], "body", b"Unavailable", grpc.StatusCode.UNAVAILABLE),
        ([AWAY, AWAY], "body", b"Unavailable", grpc.StatusCode.UNAVAILABLE),
        ([AWAY], "nothing", b"nothing", grpc.StatusCode.OK),
        ([WRONG], "variable", b"Unauthenticated", grpc.StatusCode.UNAUTHENTICATED),
        ([WRONG], "body", b"Unauthenticated", grpc.StatusCode.UNAUTHENTICATED),
        ([WRONG, AWAY], "body", b"Unavailable", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_a_face_does_nothing_by_what_was_not_read(
    ends: list[PolycallError], reads: str, body: bytes, code: grpc.StatusCode
) -> None:
    assert await answer(Looks(*ends), reads) == (body, code)


@pytest.mark.parametrize(
    ("ends", "refusal"),
    [
        ([], None),
        ([WRONG], None),
        ([AWAY], None),
        ([AWAY, WRONG], AWAY),
        ([WRONG, AWAY], AWAY),
        ([WRONG, WRONG], WRONG),
    ],
)
async def test_of_two_keys_the_one_that_could_not_be_looked_at_is_told_of(
    ends: Sequence[PolycallError], refusal: PolycallError | None
) -> None:
    gate = Authentication(Looks(*ends))  # type: ignore[arg-type]
    found = await gate.refusal((("authorization", "Bearer a"), ("x-api-key", "b"), ("user-agent", "c")))
    assert type(found) is type(refusal)
