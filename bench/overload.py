"""What becomes of the answers when three times as much is asked as can be done."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from bench.contestants import Polycall, polycall
from bench.rounds import Figure, Recorder
from polycall.v1 import execution_service_pb2, execution_service_pb2_grpc

__all__ = ["ALONE", "FLOODED", "REFUSALS", "overload"]

ALONE, FLOODED, REFUSALS = "as much as can be done", "3 x as much", "refused"
# Runs that wait, so that what limits them are the slots, not the processors that the load tool needs too.
_SLEEP_S, _SLOTS, _QUEUE = 0.02, 4, 8
_TIMES = 3
_SOURCE = f"import time\n\ndef wait(n):\n    time.sleep({_SLEEP_S})\n    return n\n"


@dataclass(slots=True)
class _Tally:
    answered: list[float] = field(default_factory=list)  # seconds each took
    refused: list[float] = field(default_factory=list)


def overload(recorder: Recorder, ours: Polycall) -> None:
    """Measure the goodput of a server with few slots: alone, and with three times what it can do coming in."""
    del ours  # its queue is long
    with polycall(POLYCALL_SLOTS=str(_SLOTS), POLYCALL_QUEUE=str(_QUEUE), POLYCALL_GATEWAY="false") as small:
        small.server.deploy("bench-wait", {"main.py": _SOURCE})
        asyncio.run(_measure(recorder, small))


async def _measure(recorder: Recorder, small: Polycall) -> None:
    seconds = max(1.0, recorder.effort.seconds)
    async with grpc.aio.insecure_channel(small.server.grpc) as channel:
        caller = _Caller(execution_service_pb2_grpc.ExecutionServiceStub(channel), small.server.metadata)
        await caller.closed(_SLOTS + _QUEUE // 2, 0.5)
        alone = await caller.closed(_SLOTS + _QUEUE // 2, seconds)
        capacity = len(alone.answered) / seconds
        flooded = await caller.arriving(_TIMES * capacity, seconds)
    for load, tally in ((ALONE, alone), (FLOODED, flooded)):
        recorder.keep(_figure(recorder.part, load, tally.answered, seconds))
    recorder.keep(_figure(recorder.part, REFUSALS, flooded.refused, seconds))


class _Caller:
    def __init__(self, stub: execution_service_pb2_grpc.ExecutionServiceStub, metadata: list[tuple[str, str]]) -> None:
        self._stub = stub
        self._metadata = metadata
        self._count = 0

    async def closed(self, callers: int, seconds: float) -> _Tally:
        """Keep so many requests in flight."""
        tally, until = _Tally(), time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < until:
                await self._call(tally)

        await asyncio.gather(*(one() for _ in range(callers)))
        return tally

    async def arriving(self, rate: float, seconds: float) -> _Tally:
        """Send so many requests a second, whatever becomes of them."""
        tally, begun = _Tally(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for turn in range(round(rate * seconds)):
                if (left := begun + turn / rate - time.perf_counter()) > 0:
                    await asyncio.sleep(left)
                group.create_task(self._call(tally))
        return tally

    async def _call(self, tally: _Tally) -> None:
        self._count += 1
        request = execution_service_pb2.RunFunctionRequest(
            function="packages/bench-wait/functions/wait", input_json=f'{{"n": {self._count}}}'
        )
        expected, since = str(self._count), time.perf_counter()
        try:
            answer = await self._stub.RunFunction(request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if not _may_come_back(error):
                raise
            tally.refused.append(time.perf_counter() - since)
            return
        assert answer.output_json == expected, answer
        tally.answered.append(time.perf_counter() - since)


def _may_come_back(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether an RPC was refused as it should be: RESOURCE_EXHAUSTED, with the time to come back."""
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return False
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


def _figure(part: str, load: str, latencies: list[float], seconds: float) -> Figure:
    ordered = sorted(latencies)

    def quantile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0

    return Figure(
        part=part,
        name="polycall, a run of 20 ms, 4 slots",
        load=load,
        count=len(ordered),
        rate=len(ordered) / seconds,
        p50=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        worst=quantile(1.0),
    )
