"""polycall.v1.ServerService."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from polycall.engine.engine import Engine
from polycall.interceptors.rpc import Rpc
from polycall.quick import dataclass
from polycall.sandbox.enforcement import Enforcement, Hold
from polycall.sandbox.installed import Interpreter, python
from polycall.sandbox.isolation import Finding
from polycall.sandbox.pool import PoolCounts
from polycall.services.execution_messages import LANGUAGE_VALUES, LEVEL_VALUES, limits_message
from polycall.services.scalars import enum_values
from polycall.v1 import runtime_pb2, server_service_pb2, server_service_pb2_grpc

__all__ = ["NativeInfo", "ServerService"]

_HOLDS = enum_values(server_service_pb2.Enforcement.Hold, "HOLD", Hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeInfo:
    """What the server tells of itself that the engine does not know."""

    version: str
    findings: Sequence[Finding] = ()
    limits: Sequence[Enforcement] = ()
    counts: Callable[[], PoolCounts] | None = None
    interpreters: Sequence[Interpreter] = (python(),)
    processes: int = 1
    input_bytes: int = 16 << 20  # the largest input_json


class ServerService(server_service_pb2_grpc.ServerServiceServicer):
    """Tells what this server is and can do."""

    def __init__(self, engine: Engine, info: NativeInfo) -> None:
        self._engine = engine
        self._info = info

    async def GetServerInfo(
        self, request: server_service_pb2.GetServerInfoRequest, rpc: Rpc
    ) -> server_service_pb2.ServerInfo:
        """Return version, isolation, runtimes and limits."""
        _ = rpc.who  # any key will do, but one there must be
        engine = self._engine
        return server_service_pb2.ServerInfo(
            version=self._info.version,
            isolation_level=LEVEL_VALUES[engine.isolation],
            isolation_floor=LEVEL_VALUES[engine.isolation_floor],
            findings=[
                server_service_pb2.Finding(feature=f.feature, available=f.ok, detail=f.detail, remedy=f.remedy)
                for f in self._info.findings
            ],
            runtimes=[
                runtime_pb2.Runtime(language=LANGUAGE_VALUES[language], version=each.version, interpreter=each.name)
                for each in self._info.interpreters
                for language in each.languages
            ],
            default_limits=limits_message(engine.limits.defaults),
            maximum_limits=limits_message(engine.limits.maximums),
            slots=engine.slots,
            pool=self._pool(),
            limits=[
                server_service_pb2.Enforcement(limit=e.limit, hold=_HOLDS[e.hold], how=e.how, remedy=e.remedy)
                for e in self._info.limits
            ],
            processes=self._info.processes,
        )

    def _pool(self) -> server_service_pb2.Pool | None:
        if self._info.counts is None:
            return None
        counts = self._info.counts()
        return server_service_pb2.Pool(
            waiting=counts.waiting,
            warm_idle=counts.idle,
            busy=counts.busy,
            warm_memory_mib=counts.warm_bytes >> 20,
            queued=self._engine.admission.waiting,
        )
