"""Concurrent callers of a real server, each checking that the answer is its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import grpc.aio

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import Server

__all__ = ["Caller", "execute", "run_function", "spread"]

CODE = "def execute(input):\n    return {'twice': input['n'] * 2}\n"

Caller = Callable[[int], Awaitable[execution_pb2.Execution]]


def execute(stub: execution_service_pb2_grpc.ExecutionServiceStub, server: Server) -> Caller:
    """Return a caller of ad-hoc code."""

    def call(number: int) -> Awaitable[execution_pb2.Execution]:
        request = execution_service_pb2.ExecuteRequest(code=CODE, input_json=json.dumps({"n": number}))
        answer: Awaitable[execution_pb2.Execution] = stub.Execute(request, metadata=server.metadata)
        return answer

    return call


def run_function(stub: execution_service_pb2_grpc.ExecutionServiceStub, server: Server, function: str) -> Caller:
    """Return a caller of a function ``f(n)`` that doubles."""

    def call(number: int) -> Awaitable[execution_pb2.Execution]:
        request = execution_service_pb2.RunFunctionRequest(function=function, input_json=json.dumps({"n": number}))
        answer: Awaitable[execution_pb2.Execution] = stub.RunFunction(request, metadata=server.metadata)
        return answer

    return call


async def spread(call: Caller, count: int, *, concurrency: int = 16) -> dict[str, int]:
    """Make ``count`` calls, ``concurrency`` at a time; return how often each answer was what.

    ``own``: the answer to this very request. ``wrong``: another's. Anything else by its state or RPC status.
    """
    tally: dict[str, int] = {}
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            try:
                execution = await call(number)
            except grpc.aio.AioRpcError as error:
                key = error.code().name
            else:
                key = execution_pb2.Execution.State.Name(execution.state)
                if execution.state == execution_pb2.Execution.STATE_COMPLETED:
                    key = "own" if json.loads(execution.output_json) == {"twice": number * 2} else "wrong"
            tally[key] = tally.get(key, 0) + 1

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())
    return tally
