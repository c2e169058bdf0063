"""Many callers at once, and what dies under them: every answer its own, nothing lost, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import psutil
import pytest

from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import STOP_S, Server, running_server, until
from tests.integration.load import execute, run_function, spread

DOUBLE = "def f(n):\n    return {'twice': n * 2}\n"
SLOW = "import time\ndef f(n):\n    time.sleep(0.05)\n    return {'twice': n * 2}\n"
# Pipes and sockets that may come with use, once: an old zygote whose warm workers live on. What every hundredth run
# leaked would be more than twice as many.
SLACK = 20


def _stub(channel: grpc.aio.Channel) -> execution_service_pb2_grpc.ExecutionServiceStub:
    return execution_service_pb2_grpc.ExecutionServiceStub(channel)


def _pipes(pid: int) -> int:
    """How many pipes and sockets a process holds; the files of its cgroups are made once for each slot and kept."""
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(file).startswith(("pipe:", "socket:"))
    return count


def _mounts() -> int:
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def _cgroups(server: Server) -> set[str]:
    """The cgroups that the server made for its sandboxes; none below level 3."""
    found = set()
    for process in _sandboxed(server):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process.pid}/cgroup").read_text()
            found |= {part for part in text.replace("\n", "/").split("/") if part.startswith("polycall-")}
    return found


def _left(cgroups: set[str]) -> list[str]:
    return [
        os.path.join(directory, name)
        for directory, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name in cgroups
    ]


async def test_five_thousand_runs_get_their_own_answers_and_leave_nothing(tmp_path: Path) -> None:
    mounts = _mounts()
    with running_server(tmp_path) as server:
        server.deploy("double", {"main.py": DOUBLE})
        assert server.process is not None
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            warm = run_function(_stub(channel), server, "packages/double/functions/f")
            fresh = execute(_stub(channel), server)
            # by then every slot has its warm worker
            assert await spread(warm, 500) == {"own": 500}
            assert await spread(fresh, 50) == {"own": 50}
            pipes = _pipes(server.process.pid)
            cgroups = _cgroups(server)
            assert bool(cgroups) == (server.ready["isolation_level"] == 3)
            assert await spread(warm, 4_500) == {"own": 4_500}
            assert await spread(fresh, 500) == {"own": 500}

            def settled() -> bool:
                assert server.process is not None
                return _pipes(server.process.pid) <= pipes + SLACK

            until(settled, what="the number of open pipes to come back to where it was")
    # `running_server` has checked by now that SIGTERM ended the server and every process below it
    assert _mounts() == mounts
    assert _left(cgroups) == []
    assert not list(tmp_path.glob("run/*.sock"))


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose children are killed."""
    with running_server(tmp_path_factory.mktemp("survivor"), POLYCALL_GATEWAY="false") as server:
        yield server


async def test_a_killed_worker_fails_its_own_run_only(survivor: Server) -> None:
    survivor.deploy("slow", {"main.py": SLOW})
    async with grpc.aio.insecure_channel(survivor.grpc) as channel:
        call = run_function(_stub(channel), survivor, "packages/slow/functions/f")
        answered = 0

        async def counted(number: int) -> execution_pb2.Execution:
            nonlocal answered
            answer = await call(number)
            answered += 1
            return answer

        load = asyncio.create_task(spread(counted, 200))
        async with asyncio.timeout(60):
            while answered < 50:  # by then its workers are the deepest of its processes
                await asyncio.sleep(0.01)
        victims = _sandboxed(survivor)
        assert victims
        with contextlib.suppress(psutil.NoSuchProcess):
            victims[-1].kill()
        tally = await load
        assert tally.pop("own") >= 199
        assert tally in ({}, {"STATE_FAILED": 1})
        assert await spread(call, 50) == {"own": 50}


async def test_a_killed_zygote_is_replaced_and_the_server_goes_on(survivor: Server) -> None:
    async with grpc.aio.insecure_channel(survivor.grpc) as channel:
        call = execute(_stub(channel), survivor)
        load = asyncio.create_task(spread(call, 300))
        await asyncio.sleep(0.3)
        for process in _zygotes(survivor):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        tally = await load
        assert tally.get("wrong", 0) == 0
        assert sum(tally.values()) == 300
        assert set(tally) <= {"own", "STATE_FAILED"}
        # at most what ran and what waited in the dead zygote's children is lost
        assert tally.get("STATE_FAILED", 0) <= 16
        assert await spread(call, 50) == {"own": 50}


def _below(server: Server) -> list[psutil.Process]:
    """The processes below the server that are not Envoy. Any may be gone by the time it is looked at."""
    found = []
    for process in server.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "envoy" not in process.name():
                found.append(process)
    return found


def _depth(process: psutil.Process, root: int) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        above = [parent.pid for parent in process.parents()]
        return above.index(root) if root in above else 0
    return 0


def _has_children(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.children())
    return False


def _sandboxed(server: Server) -> list[psutil.Process]:
    """The sandboxed processes: the deepest below the server."""
    assert server.process is not None
    root = server.process.pid
    depths = {process: _depth(process, root) for process in _below(server)}
    deepest = max(depths.values())
    return [process for process, depth in depths.items() if depth == deepest]


def _zygotes(server: Server) -> list[psutil.Process]:
    """The zygotes: whatever is below the server, is not Envoy, and has children of its own."""
    return [p for p in _below(server) if _has_children(p)]


def test_sigterm_while_runs_go_on_lets_them_end(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.deploy("slow", {"main.py": "import time\ndef f(n):\n    time.sleep(2)\n    return n\n"})
    request = execution_service_pb2.RunFunctionRequest(function="packages/slow/functions/f", input_json='{"n": 7}')
    future = server.executions.RunFunction.future(request, metadata=server.metadata)
    until(lambda: server.pool().busy, what="the run to begin")
    assert server.process is not None
    below = server.descendants()
    server.process.send_signal(signal.SIGTERM)
    assert future.result().output_json == "7"
    assert server.terminate() == 0
    _, alive = psutil.wait_procs(below, timeout=STOP_S)
    assert alive == []
