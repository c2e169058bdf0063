"""What polycall is measured against: the same RPCs, answered by what one would write first.

``inline`` is grpc.aio adding in the handler: the ceiling, nothing is executed. ``pool`` is grpc.aio with a
ProcessPoolExecutor of two. ``bwrap`` starts a fresh Python in bubblewrap for each request, as careful people do. Only
the last promises anything against hostile code.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeAlias

import grpc.aio
import uvloop

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc

_SCRIPT = "import json,sys; d=json.load(sys.stdin); print(json.dumps({'sum': d['a'] + d['b']}))"
# the real interpreter: a version manager's shim would be measured instead
_BWRAP = (
    *("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent"),
    *(os.path.realpath(sys.executable), "-c", _SCRIPT),
)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Work: TypeAlias = Callable[[str], Awaitable[str]]


def add(text: str) -> str:
    """Do the job of every contestant."""
    data = json.loads(text)
    return json.dumps({"sum": data["a"] + data["b"]})


async def _inline(text: str) -> str:
    return add(text)


async def _pooled(pool: ProcessPoolExecutor, text: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(pool, add, text)


async def _sandboxed(text: str) -> str:
    # in a thread: with uvloop, communicate() fails now and then on a stdin that is closed already
    done = await asyncio.to_thread(subprocess.run, _BWRAP, input=text.encode(), capture_output=True, check=True)
    return done.stdout.decode().strip()


class Adder(execution_service_pb2_grpc.ExecutionServiceServicer):
    """Answers RunFunction and Execute; the code of the latter is what it does anyway."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def RunFunction(
        self, request: execution_service_pb2.RunFunctionRequest, _: Context
    ) -> execution_pb2.Execution:
        """Add."""
        return _completed(await self._work(request.input_json))

    async def Execute(self, request: execution_service_pb2.ExecuteRequest, _: Context) -> execution_pb2.Execution:
        """Add."""
        return _completed(await self._work(request.input_json))


def _completed(text: str) -> execution_pb2.Execution:
    return execution_pb2.Execution(state=execution_pb2.Execution.STATE_COMPLETED, output_json=text)


def _work(mode: str) -> Work:
    if mode == "pool":
        pool = ProcessPoolExecutor(2, mp_context=get_context("forkserver"))
        list(pool.map(add, ['{"a": 1, "b": 2}'] * 2))
        return functools.partial(_pooled, pool)
    return {"inline": _inline, "bwrap": _sandboxed}[mode]


async def main(mode: str) -> None:
    """Serve on a free port and print it."""
    server = grpc.aio.server()
    execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server(Adder(_work(mode)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
