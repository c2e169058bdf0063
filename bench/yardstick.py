"""What polycall is measured against: the same RPC, answered without a sandbox.

``inline`` is grpc.aio adding in the handler: the ceiling. ``pool`` is grpc.aio with a ProcessPoolExecutor of two: the
design everybody writes first. Neither promises anything against hostile code.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import grpc.aio
import uvloop

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc


def add(text: str) -> str:
    """Do the job of every contestant."""
    data = json.loads(text)
    return json.dumps({"sum": data["a"] + data["b"]})


class Adder(execution_service_pb2_grpc.ExecutionServiceServicer):
    """Answers RunFunction."""

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self._pool = pool

    async def RunFunction(
        self,
        request: execution_service_pb2.RunFunctionRequest,
        context: grpc.aio.ServicerContext[execution_service_pb2.RunFunctionRequest, execution_pb2.Execution],
    ) -> execution_pb2.Execution:
        """Add."""
        if self._pool is None:
            text = add(request.input_json)
        else:
            text = await asyncio.get_running_loop().run_in_executor(self._pool, add, request.input_json)
        return execution_pb2.Execution(state=execution_pb2.Execution.STATE_COMPLETED, output_json=text)


async def main(mode: str) -> None:
    """Serve on a free port and print it."""
    pool = ProcessPoolExecutor(2, mp_context=get_context("forkserver")) if mode == "pool" else None
    if pool is not None:
        list(pool.map(add, ['{"a": 1, "b": 2}'] * 2))
    server = grpc.aio.server()
    execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server(Adder(pool), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
