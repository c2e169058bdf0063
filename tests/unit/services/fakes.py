"""A gRPC server in this process, with the native services over an engine that does what a test says."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from polycall.domain import (
    Execution,
    ExecutionKind,
    ExecutionState,
    IsolationLevel,
    Principal,
    Reason,
    Scope,
    StartKind,
    Usage,
)
from polycall.engine.audit import AuditLog
from polycall.engine.engine import Engine
from polycall.engine.limits import LimitPolicy
from polycall.engine.plans import Plans
from polycall.errors import Unauthenticated, Unavailable
from polycall.services.native import HealthHandle, NativeInfo, add_native, interceptors, server_options
from polycall.v1 import (
    execution_service_pb2_grpc,
    package_service_pb2_grpc,
    server_service_pb2_grpc,
    tenancy_service_pb2_grpc,
)

__all__ = ["ADA", "ID", "KEY", "FakeEngine", "Native", "details_of", "execution", "running", "status_of_call"]

KEY = "pc_0011_secret"
ADA = Principal(project_id="default", key_id="0011", scopes=frozenset(Scope))
ID = uuid.UUID("01a20b84-ace9-73b6-99c3-20bb684e149c")
KINDS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.BadRequest,
        error_details_pb2.ErrorInfo,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.QuotaFailure,
        error_details_pb2.RequestInfo,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
    )
}


def execution(**changes: Any) -> Execution:
    plain = Execution(
        id=ID,
        project_id="default",
        kind=ExecutionKind.SYNC,
        state=ExecutionState.COMPLETED,
        queued_at=1_000,
        started_at=1_001,
        ended_at=1_002,
        result=b"1",
        exit_code=0,
        start_kind=StartKind.WARM,
        isolation=IsolationLevel.CONTAINED,
        usage=Usage(queue_us=1_500, start_us=20, run_us=2_000_001),
        attempt=1,
    )
    return replace(plain, **changes)


class FakeKeys:
    """Knows one key."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answer: Any = None
        self.revoked = False
        self.away = False  # the database that has the keys
        self.revocations = 0
        self.looks = 0

    def at_hand(self, token: str | None) -> None:
        """Know none without a look-up."""

    async def authenticate(self, token: str | None) -> Principal:
        self.looks += 1
        if self.away:
            raise Unavailable("The database is away.")
        if not token:
            raise Unauthenticated("No API key.", reason=Reason.API_KEY_MISSING)
        if token != KEY or self.revoked:
            raise Unauthenticated("This API key is not valid.")
        return ADA

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(*args: Any, **options: Any) -> Any:
            self.asked.append((name, args, options))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return answer


@dataclass
class FakeEngine:
    """Answers every verb with ``answer``: a value, an exception to raise, or a coroutine function to await."""

    answer: Any = field(default_factory=execution)
    happening: Callable[[], AsyncIterator[Any]] | None = None
    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    keys: FakeKeys = field(default_factory=FakeKeys)
    audited: Any = field(default_factory=FakeKeys)  # the store of the audit log
    policies: Any = field(default_factory=FakeKeys)
    registry: Any = field(default_factory=FakeKeys)
    runtimes: Any = field(default_factory=FakeKeys)
    secrets: Any = field(default_factory=FakeKeys)
    resealing: Any = field(default_factory=FakeKeys)
    schedules: Any = field(default_factory=FakeKeys)
    webhooks: Any = field(default_factory=FakeKeys)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    isolation: IsolationLevel = IsolationLevel.CONTAINED
    isolation_floor: IsolationLevel = IsolationLevel.NAMESPACED
    slots: int = 4

    async def _answer(self, verb: str, *args: Any) -> Any:
        self.asked.append((verb, args))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return await self.answer() if callable(self.answer) else self.answer

    async def execute(self, *args: Any) -> Any:
        return await self._answer("execute", *args)

    async def run(self, *args: Any) -> Any:
        return await self._answer("run", *args)

    async def call(self, *args: Any) -> Any:
        return await self._answer("call", *args)

    @property
    def executions(self) -> FakeEngine:
        return self

    @property
    def following(self) -> FakeEngine:
        return self

    async def get(self, *args: Any) -> Any:
        return await self._answer("get", *args)

    async def wait(self, *args: Any) -> Any:
        return await self._answer("wait", *args)

    async def list(self, *args: Any) -> Any:
        return await self._answer("list", *args)

    async def cancel(self, *args: Any) -> Any:
        return await self._answer("cancel", *args)

    def events(self, *args: Any) -> AsyncIterator[Any]:
        return self._events("events", *args)

    def stream_execute(self, *args: Any) -> AsyncIterator[Any]:
        return self._events("stream_execute", *args)

    def stream_run(self, *args: Any) -> AsyncIterator[Any]:
        return self._events("stream_run", *args)

    def _events(self, verb: str, *args: Any) -> AsyncIterator[Any]:
        self.asked.append((verb, args))
        assert self.happening is not None
        return self.happening()


@dataclass
class Native:
    """A running server and a client's view of it."""

    engine: FakeEngine
    health: HealthHandle
    channel: grpc.aio.Channel
    audit: AuditLog
    address: str
    key: str | None = KEY

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()

    @property
    def executions(self) -> execution_service_pb2_grpc.ExecutionServiceStub:
        return execution_service_pb2_grpc.ExecutionServiceStub(self.channel)

    @property
    def packages(self) -> package_service_pb2_grpc.PackageServiceStub:
        return package_service_pb2_grpc.PackageServiceStub(self.channel)

    @property
    def tenancy(self) -> tenancy_service_pb2_grpc.TenancyServiceStub:
        return tenancy_service_pb2_grpc.TenancyServiceStub(self.channel)

    @property
    def info(self) -> server_service_pb2_grpc.ServerServiceStub:
        return server_service_pb2_grpc.ServerServiceStub(self.channel)

    async def do(self, method: Callable[..., Any], request: Any) -> Any:
        """Call with the key and a deadline that a hung test would meet."""
        return await method(request, metadata=self.metadata, timeout=20)

    async def refused(self, method: Callable[..., Any], request: Any) -> status_pb2.Status:
        """Call what must fail; return the status."""
        return await status_of_call(method(request, metadata=self.metadata, timeout=20))


@asynccontextmanager
async def running(
    engine: FakeEngine | None = None, register: Callable[[grpc.aio.Server], None] | None = None
) -> AsyncIterator[Native]:
    """Run a server with the native services, and what ``register`` adds."""
    engine = engine or FakeEngine()
    real = cast("Engine", engine)
    audit = AuditLog(engine.audited)
    server = grpc.aio.server(interceptors=interceptors(real.keys, audit), options=server_options())
    health = add_native([server], real, Plans(real), audit, NativeInfo(version="1.2.3"))
    if register is not None:
        register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    limit = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=limit) as channel:
            yield Native(engine, health, channel, audit, f"127.0.0.1:{port}")
    finally:
        await server.stop(None)


async def status_of_call(call: Any) -> status_pb2.Status:
    """Return the google.rpc.Status of a call that fails; its code and message are gRPC's own as well."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call if hasattr(call, "__await__") else call.read())
    trailing = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    assert (caught.value.code().value[0], caught.value.details()) == (status.code, status.message)
    assert trailing["x-request-id"]
    return status


def details_of(status: status_pb2.Status) -> Mapping[str, Any]:
    """Return the details of a status by their short names."""
    found = {}
    for packed in status.details:
        detail = KINDS[packed.TypeName()]()
        assert packed.Unpack(detail)
        found[type(detail).__name__] = detail
    assert len(found) == len(status.details)
    return found
