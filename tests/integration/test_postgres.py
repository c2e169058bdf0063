"""The whole server on PostgreSQL: the same statements, a URL away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import psutil
import sqlalchemy as sa
from google.protobuf import duration_pb2

from bench.postmaster import standing_still
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.harness import STOP_S, Server, running_server

SOURCE = {"main.py": "def double(n):\n    print('doubling')\n    return n * 2\n"}


def test_a_server_on_postgresql_runs_calls_and_remembers(postgres: str, tmp_path: Path) -> None:
    url = sa.make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    with running_server(tmp_path, POLYCALL_DATABASE_URL=url) as server:
        server.deploy("math", SOURCE, release=True)
        call = execution_service_pb2.CallRequest(function="packages/math/functions/double", input_json='{"n": 21}')
        name = server.executions.Call(call, metadata=server.metadata).name
        wait = execution_service_pb2.WaitExecutionRequest(name=name)
        ended = server.executions.WaitExecution(wait, metadata=server.metadata)
        assert (ended.state, ended.output_json) == (execution_pb2.Execution.STATE_COMPLETED, "42")
    server = Server(tmp_path, environment={"POLYCALL_DATABASE_URL": url, "POLYCALL_DRAIN_GRACE_S": "0.2"}).start()
    try:
        get = execution_service_pb2.GetExecutionRequest(name=name)
        remembered = server.executions.GetExecution(get, metadata=server.metadata)
        assert (remembered.output_json, remembered.stdout) == ("42", "doubling\n")
        assert not (tmp_path / "polycall.db").exists()
        # a database that stands still does not hold up the end, and what it did not take is said
        run = execution_service_pb2.RunFunctionRequest(function=call.function, input_json='{"n": 21}')
        server.executions.RunFunction(run, metadata=server.metadata)
        below = server.descendants()
        with standing_still(asyncio.run(_postmaster(url))):
            server.executions.RunFunction(run, metadata=server.metadata)
            assert server.terminate() == 3
        assert psutil.wait_procs(below, timeout=STOP_S)[1] == []
        assert "records of synchronous executions are lost" in server.log.read_text()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


async def _postmaster(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).ppid()
    finally:
        await connection.close()


def test_several_processes_on_postgresql_run_each_call_once(postgres: str, tmp_path: Path) -> None:
    url = sa.make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    with running_server(tmp_path, POLYCALL_DATABASE_URL=url, POLYCALL_PROCESSES="2", POLYCALL_SLOTS="4") as server:
        server.deploy("math", SOURCE, release=True)
        call = execution_service_pb2.CallRequest(function="packages/math/functions/double", input_json='{"n": 21}')
        futures = [server.executions.Call.future(call, metadata=server.metadata) for _ in range(40)]
        for future in futures:
            wait = execution_service_pb2.WaitExecutionRequest(
                name=future.result().name, timeout=duration_pb2.Duration(seconds=60)
            )
            ended = server.executions.WaitExecution(wait, metadata=server.metadata)
            assert (ended.state, ended.attempt) == (execution_pb2.Execution.STATE_COMPLETED, 1)
            assert ended.stdout == "doubling\n"
