"""How a server starts, what ends it, and what is left: nothing, if it does not start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2
from tests.harness import KEY, Server, free_port, groups_of, running_server, until

Execution = execution_pb2.Execution
HANGS = "import time\ndef execute(input):\n    print('begun', flush=True)\n    time.sleep(600)\n"
TOO_LATE_S = 60.0


def execute(server: Server, code: str, **fields: object) -> execution_pb2.Execution:
    request = execution_service_pb2.ExecuteRequest(code=code, **fields)  # type: ignore[arg-type]
    answer: execution_pb2.Execution = server.executions.Execute(request, metadata=server.metadata, timeout=60)
    return answer


def get(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata)
    return answer


def works(server: Server) -> bool:
    """Tell whether both ways in lead to a run."""
    answer = server.http(
        "POST",
        "/polycall/v1/executions:execute",
        body=json.dumps({"code": "def execute(input): return input", "inputJson": "[1]"}).encode(),
        headers={"authorization": f"Bearer {server.key}", "content-type": "application/json"},
    )
    return answer.status == 200 and execute(server, "def execute(input): return 1").output_json == "1"


def begin(server: Server, code: str = HANGS) -> grpc.Future:
    """Begin a run and wait until it has written something."""
    future = server.executions.Execute.future(execution_service_pb2.ExecuteRequest(code=code), metadata=server.metadata)
    request = execution_service_pb2.ListExecutionsRequest(states=[Execution.STATE_RUNNING])

    def begun() -> bool:
        found = server.executions.ListExecutions(request, metadata=server.metadata).executions
        return any(get(server, execution.name).stdout for execution in found)

    until(begun, what="the run to begin")
    return future


def refused_start(directory: Path, **environment: str) -> str:
    """Start a server that cannot start; return what it says. It must leave no process and no socket."""
    chosen = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")} | {
        "POLYCALL_DATA_DIR": str(directory),
        "POLYCALL_REST_ADDRESS": "127.0.0.1:0",
        "POLYCALL_GRPC_ADDRESS": "127.0.0.1:0",
        "POLYCALL_BOOTSTRAP_KEY": KEY,
        **environment,
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("polycall"), "serve", "--json"],
        env=chosen,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def envoys(server: Server) -> list[psutil.Process]:
    found = []
    for process in server.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # those that wait for work come and go
            if "envoy" in process.name():
                found.append(process)
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that others get in the way of, on ports that it was given by the system."""
    with running_server(
        Path(tmp_path_factory.mktemp("first")),
        POLYCALL_MAX_TIMEOUT_S="7",
        POLYCALL_MAX_MEMORY_MIB="100",
        PYTHONPROFILEIMPORTTIME="1",  # its log has every import
    ) as server:
        yield server


# starts that fail


def test_a_second_server_on_the_same_directory_is_refused_and_the_first_goes_on(first: Server) -> None:
    assert first.process is not None
    sockets = sorted(path.name for path in (first.data_dir / "run").iterdir())
    said = refused_start(first.data_dir)
    assert f"is in use by another polycall server (pid {first.process.pid})" in said
    assert sorted(path.name for path in (first.data_dir / "run").iterdir()) == sockets
    assert works(first)


@pytest.mark.parametrize("setting", ["POLYCALL_REST_ADDRESS", "POLYCALL_GRPC_ADDRESS"])
def test_a_taken_address_is_named_and_nothing_is_left(setting: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused_start(tmp_path, **{setting: address})
    assert address in said
    assert "taken" in said
    assert "add_port.cc" not in said, "gRPC's own words for it"
    assert not (tmp_path / "run").exists()
    assert [p for p in psutil.process_iter(["environ"]) if str(tmp_path) in str(p.info["environ"])] == []


def test_a_start_that_fails_takes_no_call_from_the_queue(tmp_path: Path) -> None:
    server = Server(tmp_path, environment={"POLYCALL_SLOTS": "1", "POLYCALL_GATEWAY": "false"}).start()
    server.deploy("p", {"main.py": "import time\ndef hang(): time.sleep(600)\ndef quick(): return 7"})

    def call(function: str) -> execution_pb2.Execution:
        name = f"packages/p/functions/{function}"
        request = execution_service_pb2.CallRequest(function=name, max_attempts=1)
        return server.executions.Call(request, metadata=server.metadata)  # type: ignore[no-any-return]

    hanging = call("hang")
    until(lambda: get(server, hanging.name).state == Execution.STATE_RUNNING, what="the only slot to be taken")
    queued = call("quick")
    server.kill()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused_start(tmp_path, POLYCALL_REST_ADDRESS=address)
        said = refused_start(tmp_path, POLYCALL_GATEWAY="false", POLYCALL_METRICS_ADDRESS=address)
        assert f"Cannot listen on {address} for metrics" in said
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        wait = execution_service_pb2.WaitExecutionRequest(name=queued.name, timeout=duration_pb2.Duration(seconds=60))
        ended = server.executions.WaitExecution(wait, metadata=server.metadata)
        assert (ended.state, ended.output_json, ended.attempt) == (Execution.STATE_COMPLETED, "7", 1)


def test_a_bootstrap_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bootstrap.key").write_text("secret\n")
    (tmp_path / "bootstrap.key").chmod(0o644)
    said = refused_start(tmp_path, POLYCALL_BOOTSTRAP_KEY="")
    assert "can be read or changed by other users (mode 644)" in said
    assert "secret" not in said


def test_a_signal_during_the_start_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")} | {
        "POLYCALL_DATA_DIR": str(tmp_path),
        "POLYCALL_REST_ADDRESS": "127.0.0.1:0",
        "POLYCALL_GRPC_ADDRESS": "127.0.0.1:0",
    }
    # at first the sandbox starts while the rest is imported; then the lock is taken, the sockets' directory made in the
    # middle, Envoy started last; `python -m bench.durability --only stops` does it at every moment
    for sign, signals in (
        ("runtimes", (signal.SIGTERM,)),
        ("polycall.lock", (signal.SIGHUP,)),
        ("run", (signal.SIGTERM, signal.SIGINT)),
        ("run/envoy", (signal.SIGINT,)),
    ):

        def told(sign: str = sign, signals: tuple[signal.Signals, ...] = signals) -> str:
            """Start a server and end it once there is a sign of how far it is; return what it said."""
            shutil.rmtree(tmp_path / sign, ignore_errors=True)
            process = subprocess.Popen(
                [Path(sys.executable).with_name("polycall"), "serve", "--json"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            until((tmp_path / sign).exists, what=sign)
            process.send_signal(signal.SIGSTOP)  # it gets no further while its processes are listed
            below = psutil.Process(process.pid).children(recursive=True)
            groups = groups_of(below)
            for number in (*signals, signal.SIGCONT):
                process.send_signal(number)
            said, log = process.communicate(timeout=TOO_LATE_S)
            assert (process.returncode, "Traceback" in log) == (0, False), log
            assert psutil.wait_procs(below, timeout=TOO_LATE_S)[1] == []
            assert not (tmp_path / "run").exists()
            assert [group for group in groups if group.exists()] == []
            (tmp_path / "polycall.lock").unlink(missing_ok=True)
            return said

        until(lambda: told() == "", what="a signal that comes before the server has started")


# a server that runs


def test_an_embedded_server_imports_nothing_that_only_others_need(first: Server) -> None:
    assert works(first)
    lines = first.log.read_text().splitlines()
    imported = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    assert "sqlalchemy" in imported
    assert "polycall.app" in imported
    # what a start had once: each of these costs it 5 to 100 ms (docs/performance.md)
    needless = (
        *("alembic", "asyncpg", "httpx", "obstore", "prometheus_client", "requests", "tree_sitter", "yaml"),
        *("polycall.family", "polycall.store.executor_postgres", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm"),
    )
    assert [name for name in imported if any(f"{name}.".startswith(f"{other}.") for other in needless)] == []
    # a sandbox's processes start while all this is imported: it must not wait for it
    begun = imported.index("polycall.launch")
    assert [name for name in ("grpc", "sqlalchemy") if imported.index(name) < begun] == []


def test_what_python_tells_of_itself_is_complete_before_a_start_has_threads() -> None:
    """Deno's package asked for it while zoneinfo was imported, and a start failed."""
    program = (
        "import asyncio, sys, sysconfig\n"
        "from polycall import launch\n"
        "from polycall.config import load\n"
        "assert sysconfig._CONFIG_VARS is None\n"
        "launch._running = lambda *_: sys.exit('EXE' not in (sysconfig._CONFIG_VARS or ()))\n"
        "asyncio.run(launch.serve(load(environ={})))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_the_operators_limits_bound_the_defaults_too(first: Server) -> None:
    limits = execute(first, "def execute(input): return 1").limits
    assert (limits.timeout.seconds, limits.memory_mib) == (7, 100)


def test_no_process_below_the_server_has_its_secrets(first: Server) -> None:
    seen = []
    for process in first.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # those that wait for work come and go
            seen.append(process.environ())
    assert len(seen) > 1
    assert KEY not in str(seen)


def test_an_envoy_that_is_killed_is_started_again_at_the_same_address(first: Server) -> None:
    for _ in range(2):
        (old,) = envoys(first)
        old.kill()
        until(lambda old=old: envoys(first) not in ([], [old]), seconds=TOO_LATE_S, what="another Envoy")
        until(lambda: _served(first), seconds=TOO_LATE_S, what="the service")


def _served(server: Server) -> bool:
    try:
        return works(server)
    except OSError:
        return False


def test_an_envoy_that_keeps_dying_ends_the_server_which_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path, environment={"POLYCALL_DRAIN_GRACE_S": "0"}).start()
    assert server.process is not None
    below = set(server.descendants())

    def ended() -> bool:
        assert server.process is not None
        if server.process.poll() is not None:
            return True
        try:
            for envoy in envoys(server):
                below.add(envoy)
                envoy.kill()
        except psutil.NoSuchProcess:
            pass
        return False

    until(ended, seconds=60, what="the end of the server")
    assert server._reap() != 0
    server.close_channel()
    said = server.log.read_text()
    assert "Envoy failed 6 times within a minute" in said
    assert "Traceback" not in said
    assert psutil.wait_procs(list(below), timeout=TOO_LATE_S)[1] == []


# the end


def test_health_says_so_before_anything_else_ends(tmp_path: Path) -> None:
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        watching = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        code = "import time\ndef execute(input):\n    time.sleep(2)"
        slow = server.executions.Execute.future(
            execution_service_pb2.ExecuteRequest(code=code), metadata=server.metadata
        )
        until(lambda: server.pool().busy, what="the run to begin")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not slow.done()
        assert slow.result().state == Execution.STATE_COMPLETED


def test_a_second_signal_ends_the_grace(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    server = Server(tmp_path, rest_port=ports[0], grpc_port=ports[1]).start()
    hanging = begin(server)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    new = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")
    with pytest.raises(grpc.RpcError) as refused:
        until(lambda: server.executions.Execute(new, metadata=server.metadata) and None, what="the drain")
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert not hanging.done()
    server.process.send_signal(signal.SIGINT)
    killed = hanging.result()
    assert (killed.state, killed.error.reason, killed.stdout) == (
        Execution.STATE_FAILED,
        error_reason_pb2.ERROR_REASON_WORKER_LOST,
        "begun\n",
    )
    assert server.terminate() == 0
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as again:
        assert get(again, killed.name) == killed
