"""An account of what polycall was asked for, what it answered, and what became of it.

Requests come at a rate, whatever becomes of those before (an open loop), each with a number that its result repeats.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import KEY

__all__ = ["SOURCE", "Accounts", "Answer", "Ledger", "codes", "milliseconds"]

SOURCE = "import time\n\ndef work(n, seconds=0.0):\n    time.sleep(seconds)\n    return n\n"
_ANSWER_S = 30.0
_SETTLED_S = 120.0
_AT_ONCE = 16
_WRITTEN_S = 3.0
_FINAL = {
    execution_pb2.Execution.STATE_COMPLETED,
    execution_pb2.Execution.STATE_FAILED,
    execution_pb2.Execution.STATE_TIMEOUT,
    execution_pb2.Execution.STATE_CANCELLED,
}
# A server that is back is to be found at once, and gRPC shall hide no failure by trying again.
_OPTIONS = [
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
]


@dataclass(slots=True)
class Answer:
    """One request: when it was sent and answered (time.monotonic), and how. ``code`` "OK": with the right value."""

    number: int
    sent: float
    ended: float = 0.0
    code: str = ""
    name: str = ""
    detail: str = ""
    retry_info: bool = False  # of an error: says when to come again


@dataclass(frozen=True, slots=True)
class Accounts:
    """What became of the accepted Calls, once all have ended."""

    accepted: int
    lost: int  # without a record, or without an end
    wrong: int  # with another end than their own value
    twice: int  # records more than executions
    again: tuple[execution_pb2.Execution, ...]  # started more than once

    def __str__(self) -> str:
        """Return it in one line."""
        again = f", {len(self.again)} started again" if self.again else ""
        return f"{self.accepted} accepted, {self.lost} lost, {self.wrong} wrong, {self.twice} recorded twice{again}"

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, wrong or recorded twice."""
        return self.accepted > 0 and not (self.lost or self.wrong or self.twice)


@dataclass(slots=True)
class Ledger:
    """Makes Calls and runs of some functions at one address."""

    address: str
    functions: Sequence[str]
    seconds: float = 0.02  # that each takes
    key: str = KEY
    deadline_s: float = 0.0  # of Calls, from now; 0: none
    answer_s: float | None = _ANSWER_S  # the RPC's own deadline
    calls: list[Answer] = field(default_factory=list)
    runs: list[Answer] = field(default_factory=list)
    waits: list[Answer] = field(default_factory=list)
    follow: int = 0  # of so many Calls the end of one is waited for, as its caller would; 0: of none
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, *, calls: float, runs: float, over: asyncio.Event) -> None:
        """Make so many Calls and runs a second until ``over``, and wait for all answers."""
        async with self._stub() as stub:
            await asyncio.gather(self._paced(stub, calls, over, call=True), self._paced(stub, runs, over, call=False))
            if self._open:
                await asyncio.wait(self._open)

    def in_flight(self) -> set[int]:
        """Return the numbers of the runs that are not answered yet."""
        return {run.number for run in self.runs if not run.code}

    def between(self, begin: float, end: float) -> list[Answer]:
        """Return the runs that were sent within a span of time."""
        return [run for run in self.runs if begin <= run.sent < end]

    async def settled(self, address: str = "") -> Accounts:
        """Wait until every accepted Call has ended; return the accounts."""
        async with self._stub(address) as stub:
            accepted = {call.name: call.number for call in self.calls if call.code == "OK"}
            ended: dict[str, execution_pb2.Execution] = {}
            names = iter(accepted)

            async def look() -> None:
                for name in names:
                    found = await self._end(stub, name)
                    if found is not None:
                        ended[name] = found

            await asyncio.gather(*(look() for _ in range(_AT_ONCE)))
            listed = await self._listed(stub)
        right = execution_pb2.Execution.STATE_COMPLETED
        wrong = sum(one.state != right or one.output_json != str(accepted[name]) for name, one in ended.items())
        return Accounts(
            accepted=len(accepted),
            lost=sum(name not in ended or name not in listed for name in accepted),
            wrong=wrong,
            twice=sum(listed.values()) - len(listed),
            again=tuple(one for one in ended.values() if one.attempt > 1),
        )

    async def unrecorded(self, address: str = "") -> list[Answer]:
        """Return the answered runs that have no record, nor get one within some seconds: they are written behind."""
        until = time.monotonic() + _WRITTEN_S
        async with self._stub(address) as stub:
            while True:
                listed = await self._listed(stub)
                missing = [run for run in self.runs if run.code == "OK" and run.name not in listed]
                if not missing or time.monotonic() > until:
                    return missing
                await asyncio.sleep(0.2)

    # within

    async def _paced(
        self, stub: execution_service_pb2_grpc.ExecutionServiceStub, rate: float, over: asyncio.Event, *, call: bool
    ) -> None:
        if rate <= 0:
            return
        loop = asyncio.get_running_loop()
        due = time.monotonic()
        while not over.is_set():
            task = loop.create_task(self._called(stub) if call else self._ran(stub))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _called(self, stub: execution_service_pb2_grpc.ExecutionServiceStub) -> None:
        answer = Answer(next(self._numbers), time.monotonic())
        self.calls.append(answer)
        function = self.functions[answer.number % len(self.functions)]
        request = execution_service_pb2.CallRequest(
            function=function, input_json=self._input(answer.number), max_attempts=10
        )
        if self.deadline_s:
            request.deadline.FromMilliseconds(int((time.time() + self.deadline_s) * 1000))
        await self._answered(answer, stub.Call(request, metadata=self._metadata(function), timeout=self.answer_s))
        if self.follow and answer.name and answer.number % self.follow == 0:
            wait = Answer(answer.number, time.monotonic())
            self.waits.append(wait)
            request_end = execution_service_pb2.WaitExecutionRequest(name=answer.name)
            metadata = self._metadata(function)
            end = await self._answered(wait, stub.WaitExecution(request_end, metadata=metadata, timeout=self.answer_s))
            if end is not None and end.output_json != str(answer.number):
                wait.code = execution_pb2.Execution.State.Name(end.state)

    async def _ran(self, stub: execution_service_pb2_grpc.ExecutionServiceStub) -> None:
        answer = Answer(next(self._numbers), time.monotonic())
        self.runs.append(answer)
        function = self.functions[answer.number % len(self.functions)]
        request = execution_service_pb2.RunFunctionRequest(function=function, input_json=self._input(answer.number))
        ran = await self._answered(
            answer, stub.RunFunction(request, metadata=self._metadata(function), timeout=self.answer_s)
        )
        if ran is not None and ran.output_json != str(answer.number):
            answer.code = execution_pb2.Execution.State.Name(ran.state)

    async def _answered(
        self, answer: Answer, asked: grpc.aio.UnaryUnaryCall[object, execution_pb2.Execution]
    ) -> execution_pb2.Execution | None:
        try:
            execution: execution_pb2.Execution = await asked
        except grpc.aio.AioRpcError as error:
            answer.code, answer.detail = error.code().name, (error.details() or "")[:120]
            answer.retry_info = _says_when(error)
            return None
        else:
            answer.code, answer.name = "OK", execution.name
            return execution
        finally:
            answer.ended = time.monotonic()

    def _input(self, number: int) -> str:
        return json.dumps({"n": number, "seconds": self.seconds})

    def _metadata(self, function: str) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.key}"), ("x-polycall-function", function)]

    def _stub(self, address: str = "") -> _Channel:
        return _Channel(address or self.address)

    async def _end(
        self, stub: execution_service_pb2_grpc.ExecutionServiceStub, name: str
    ) -> execution_pb2.Execution | None:
        until = time.monotonic() + _SETTLED_S
        request = execution_service_pb2.WaitExecutionRequest(name=name, timeout=duration_pb2.Duration(seconds=10))
        while time.monotonic() < until:
            try:
                found: execution_pb2.Execution = await stub.WaitExecution(
                    request, metadata=self._metadata(""), timeout=_ANSWER_S
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                await asyncio.sleep(0.1)
                continue
            if found.state in _FINAL:
                return found
        return None

    async def _listed(self, stub: execution_service_pb2_grpc.ExecutionServiceStub) -> Counter[str]:
        names: Counter[str] = Counter()
        token = ""
        while True:
            request = execution_service_pb2.ListExecutionsRequest(page_size=1000, page_token=token)
            page = await stub.ListExecutions(request, metadata=self._metadata(""), timeout=_ANSWER_S)
            names.update(execution.name for execution in page.executions)
            token = page.next_page_token
            if not token:
                return names


class _Channel:
    """A channel for the length of a block, and the stub on it."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)

    async def __aenter__(self) -> execution_service_pb2_grpc.ExecutionServiceStub:
        return execution_service_pb2_grpc.ExecutionServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


def _says_when(error: grpc.aio.AioRpcError) -> bool:
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
            return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
    return False


def milliseconds(answers: Sequence[Answer]) -> str:
    """Return median and 99th percentile of how long answers took."""
    took = sorted((answer.ended - answer.sent) * 1000 for answer in answers)
    if len(took) < 2:
        return "none"
    return f"p50 {statistics.median(took):.0f} ms, p99 {took[int(len(took) * 0.99)]:.0f} ms"


def codes(answers: Sequence[Answer]) -> str:
    """Return what the answers were, counted, the most frequent first."""
    counted = Counter(f"{one.code} {one.detail!r}" if one.detail else one.code for one in answers)
    return ", ".join(f"{count} {what}" for what, count in counted.most_common(4)) or "none"
