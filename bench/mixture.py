"""Everything that callers do, mixed, each answer checked: the load of a soak."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc.aio
import httpx
from google.protobuf.duration_pb2 import Duration

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import Server

__all__ = ["Mixture", "deploy"]

_PACKAGE = "soak"
_PYTHON = """
import time
def twice(n):
    return {"twice": n * 2}
def echo(text):
    print("echoing", len(text))
    return text
def fail(n):
    raise ValueError(f"as asked: {n}")
def hang(n):
    time.sleep(60)
"""
_JAVASCRIPT = "export function twice(n) { return { twice: n * 2 } }\n"
_FRESH = "def execute(input):\n    print('out', input['n'])\n    return {'twice': input['n'] * 2}\n"
_FRESH_JS = "function execute(input) { console.log('out', input.n); return { twice: input.n * 2 } }"
_TALK = """
import time
def execute(input):
    for n in range(5):
        print(input['n'], n, flush=True)
        time.sleep(0.01)
    return 5
"""
_HANG = "import time\ndef execute(input): time.sleep(60)"
_RIZA = "def execute(input):\n    return {'twice': input['n'] * 2}\n"
# JSON of this many characters comes back byte for byte.
_LARGE = 512 << 10
_PATIENCE_S = 120.0  # a bound for a loaded machine
_BRIEF_MS = 200
# What is had of a full server: nothing ran, come again.
_REFUSED = grpc.StatusCode.RESOURCE_EXHAUSTED

Execution = execution_pb2.Execution
Action = Callable[[int], Awaitable[None]]


def deploy(server: Server) -> None:
    """Create what the load calls."""
    server.deploy(_PACKAGE, {"main.py": _PYTHON})
    server.deploy(f"{_PACKAGE}-js", {"main.js": _JAVASCRIPT}, language="javascript")


class Mixture:
    """Callers that each do one thing after the other; ``tally`` counts what was done, by name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._metadata = server.metadata
        self.tally: Counter[str] = Counter()
        self._numbers = iter(range(1 << 62))

    async def run(self, *, callers: int, until: Callable[[], bool]) -> None:
        """Keep so many callers busy. Raises AssertionError for an answer that is not right."""
        limits = httpx.Limits(max_connections=callers)
        async with (
            grpc.aio.insecure_channel(self._server.grpc, [("grpc.max_receive_message_length", 64 << 20)]) as channel,
            httpx.AsyncClient(base_url=self._server.rest, timeout=_PATIENCE_S, limits=limits) as self._http,
        ):
            self._stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
            async with asyncio.TaskGroup() as group:
                for first in range(callers):
                    group.create_task(self._caller(first, until))

    async def _caller(self, first: int, until: Callable[[], bool]) -> None:
        actions = self._actions()
        turn = first
        while not until():
            action = actions[turn % len(actions)]
            turn += 1
            try:
                await action(next(self._numbers))
            except grpc.aio.AioRpcError as error:
                if error.code() is not _REFUSED:
                    raise
                self.tally["refused"] += 1
                await asyncio.sleep(0.05)
            else:
                self.tally[action.__name__.lstrip("_")] += 1

    def _actions(self) -> Sequence[Action]:
        often = [self._warm, self._fresh, self._rest_warm, self._warm_javascript]
        seldom = [
            self._fresh_javascript, self._raises, self._times_out, self._cancelled, self._streams, self._call,
            self._large, self._riza, self._exits, self._hangs_up,
        ]  # fmt: skip
        return [action for one in seldom for action in (*often, one)]

    async def _warm(self, n: int) -> None:
        self._is_twice(await self._function("twice", n=n), n)

    async def _warm_javascript(self, n: int) -> None:
        name = f"packages/{_PACKAGE}-js/functions/twice"
        self._is_twice(await self._run(name, {"n": n}), n)

    async def _fresh(self, n: int) -> None:
        execution = await self._execute(_FRESH, {"n": n})
        self._is_twice(execution, n)
        _must(execution.stdout == f"out {n}\n", execution)

    async def _fresh_javascript(self, n: int) -> None:
        execution = await self._execute(_FRESH_JS, {"n": n}, language=execution_pb2.LANGUAGE_JAVASCRIPT)
        self._is_twice(execution, n)
        _must(execution.stdout == f"out {n}\n", execution)

    async def _raises(self, n: int) -> None:
        execution = await self._function("fail", n=n)
        _must(execution.state == Execution.STATE_FAILED, execution)
        _must(execution.error.message == f"as asked: {n}", execution)

    async def _exits(self, n: int) -> None:
        execution = await self._execute(f"import os\ndef execute(input): os._exit({n % 100 + 1})", {})
        _must((execution.state, execution.exit_code) == (Execution.STATE_FAILED, n % 100 + 1), execution)

    async def _times_out(self, n: int) -> None:
        limits = execution_pb2.Limits(timeout=Duration(nanos=_BRIEF_MS * 1_000_000))
        _must((await self._execute(_HANG, {}, limits=limits)).state == Execution.STATE_TIMEOUT, n)

    async def _cancelled(self, n: int) -> None:
        request = execution_service_pb2.CallRequest(
            function=f"packages/{_PACKAGE}/functions/hang", input_json=json.dumps({"n": n})
        )
        name = (await self._stub.Call(request, metadata=self._metadata, timeout=_PATIENCE_S)).name
        await asyncio.sleep(0.05)
        await self._stub.CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=name), metadata=self._metadata, timeout=_PATIENCE_S
        )
        _must((await self._wait(name)).state == Execution.STATE_CANCELLED, name)

    async def _hangs_up(self, n: int) -> None:
        request = execution_service_pb2.ExecuteRequest(code=_HANG, input_json=str(n))
        call = self._stub.Execute(request, metadata=self._metadata, timeout=_PATIENCE_S)
        await asyncio.sleep(0.05)
        call.cancel()

    async def _call(self, n: int) -> None:
        request = execution_service_pb2.CallRequest(
            function=f"packages/{_PACKAGE}/functions/twice", input_json=json.dumps({"n": n})
        )
        name = (await self._stub.Call(request, metadata=self._metadata, timeout=_PATIENCE_S)).name
        self._is_twice(await self._wait(name), n)

    async def _streams(self, n: int) -> None:
        execute = execution_service_pb2.ExecuteRequest(code=_TALK, input_json=json.dumps({"n": n}))
        request = execution_service_pb2.StreamExecutionRequest(execute=execute)
        said, finished = b"", None
        async for event in self._stub.StreamExecution(request, metadata=self._metadata, timeout=_PATIENCE_S):
            said += event.output.data
            finished = event.finished if event.WhichOneof("event") == "finished" else None
        _must(finished is not None and finished.output_json == "5", finished)
        _must(said.decode() == "".join(f"{n} {k}\n" for k in range(5)), said)

    async def _large(self, n: int) -> None:
        text = f"{n:x}" * (_LARGE // len(f"{n:x}"))
        execution = await self._function("echo", text=text)
        _must(execution.output_json == json.dumps(text), n)

    async def _rest_warm(self, n: int) -> None:
        answer = await self._post(
            f"/polycall/v1/packages/{_PACKAGE}/functions/twice:run", {"inputJson": json.dumps({"n": n})}
        )
        _must(json.loads(answer["outputJson"]) == {"twice": n * 2}, answer)

    async def _riza(self, n: int) -> None:
        answer = await self._post("/v1/execute-function", {"language": "python", "code": _RIZA, "input": {"n": n}})
        _must(answer["output"] == {"twice": n * 2}, answer)

    # how

    async def _post(self, path: str, body: Any) -> Any:
        headers = {"authorization": f"Bearer {self._server.key}"}
        while True:
            answer = await self._http.post(path, json=body, headers=headers)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            self.tally["refused"] += 1
            await asyncio.sleep(0.05)
        _must(answer.status_code == httpx.codes.OK, answer.text)
        return answer.json()

    async def _function(self, name: str, **arguments: Any) -> execution_pb2.Execution:
        return await self._run(f"packages/{_PACKAGE}/functions/{name}", arguments)

    async def _run(self, function: str, arguments: Any) -> execution_pb2.Execution:
        request = execution_service_pb2.RunFunctionRequest(function=function, input_json=json.dumps(arguments))
        answer: execution_pb2.Execution = await self._stub.RunFunction(
            request, metadata=self._metadata, timeout=_PATIENCE_S
        )
        return answer

    async def _execute(self, code: str, value: Any, **rest: Any) -> execution_pb2.Execution:
        request = execution_service_pb2.ExecuteRequest(code=code, input_json=json.dumps(value), **rest)
        answer: execution_pb2.Execution = await self._stub.Execute(
            request, metadata=self._metadata, timeout=_PATIENCE_S
        )
        return answer

    async def _wait(self, name: str) -> execution_pb2.Execution:
        ended = (Execution.STATE_COMPLETED, Execution.STATE_FAILED, Execution.STATE_TIMEOUT, Execution.STATE_CANCELLED)
        while True:
            request = execution_service_pb2.WaitExecutionRequest(name=name, timeout=Duration(seconds=30))
            answer: execution_pb2.Execution = await self._stub.WaitExecution(
                request, metadata=self._metadata, timeout=_PATIENCE_S
            )
            if answer.state in ended:
                return answer

    def _is_twice(self, execution: execution_pb2.Execution, n: int) -> None:
        _must(execution.state == Execution.STATE_COMPLETED, execution)
        _must(json.loads(execution.output_json) == {"twice": n * 2}, execution)


def _must(holds: bool, what: object) -> None:
    if not holds:
        raise AssertionError(f"a wrong answer: {str(what)[:2000]}")
