"""Several server processes: one family, behind one gateway, over one database."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf import duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from polycall.v1 import (
    error_reason_pb2,
    execution_pb2,
    execution_service_pb2,
    execution_service_pb2_grpc,
    package_service_pb2,
    package_service_pb2_grpc,
    secret_pb2,
    secret_service_pb2,
    secret_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    tenancy_service_pb2,
    tenancy_service_pb2_grpc,
)
from tests.harness import Server, groups_of, running_server, until
from tests.integration.test_server_life import refused_start

Execution = execution_pb2.Execution
LATE_S = 30.0
SETTINGS = {"POLYCALL_PROCESSES": "2", "POLYCALL_SLOTS": "6", "POLYCALL_CALL_SLOTS": "4"}
HANGS = "import time\ndef hang(): time.sleep(600)\ndef who(): return 'me'\n"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes, three slots each."""
    with running_server(Path(tmp_path_factory.mktemp("family")), **SETTINGS) as server:
        server.deploy("p", {"main.py": HANGS})
        yield server


def members(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    return [child for child in psutil.Process(server.process.pid).children() if "polycall.family" in _command(child)]


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


@contextlib.contextmanager
def channels(server: Server) -> Iterator[tuple[grpc.Channel, grpc.Channel]]:
    """A channel to each of the two processes, past the gateway."""
    first, second = (grpc.insecure_channel(f"unix:{server.data_dir}/run/server-{index}.sock") for index in (0, 1))
    with first, second:
        yield first, second


def executions(channel: grpc.Channel) -> execution_service_pb2_grpc.ExecutionServiceStub:
    return execution_service_pb2_grpc.ExecutionServiceStub(channel)


def call(server: Server, function: str, **fields: object) -> str:
    request = execution_service_pb2.CallRequest(function=f"packages/p/functions/{function}", **fields)  # type: ignore[arg-type]
    return str(server.executions.Call(request, metadata=server.metadata).name)


def get(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata)
    return answer


def rest(server: Server, code: str) -> tuple[int, bytes]:
    answer = server.http(
        "POST",
        "/polycall/v1/executions:execute",
        body=json.dumps({"code": code}).encode(),
        headers={"authorization": f"Bearer {server.key}", "content-type": "application/json"},
    )
    return answer.status, answer.body


def owners(server: Server) -> Counter[str]:
    """Who owns what runs."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "polycall.db")) as raw:
        return Counter(owner for (owner,) in raw.execute("SELECT owner FROM executions WHERE state = 1"))


class _Admin(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def requests_by_endpoint(server: Server) -> dict[str, int]:
    """How many requests Envoy has sent to each process."""
    connection = _Admin(server.data_dir / "run" / "envoy" / "admin.sock")
    with contextlib.closing(connection):
        connection.request("GET", "/clusters?format=json")
        status = json.loads(connection.getresponse().read())
    (servers,) = (cluster for cluster in status["cluster_statuses"] if cluster["name"] == "servers")
    return {
        host["address"]["pipe"]["path"].rpartition("/")[2]: sum(
            int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_total"
        )
        for host in servers["host_statuses"]
    }


# they serve


def test_the_gateway_sends_requests_to_each_process(family: Server) -> None:
    assert family.ready["processes"] == 2
    assert len(members(family)) == 2
    before = requests_by_endpoint(family)
    assert sorted(before) == ["server-0.sock", "server-1.sock"]

    def reached() -> bool:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: rest(family, "def execute(input): return 1"), range(20)))
        assert {status for status, _ in answers} == {200}
        after = requests_by_endpoint(family)
        return all(after[name] > before[name] for name in before)

    until(reached, what="a request to each")  # Envoy may still be about to hear that one of them is well


def test_each_process_says_how_many_there_are_and_has_its_share(family: Server) -> None:
    with channels(family) as both:
        for channel in both:
            stub = server_service_pb2_grpc.ServerServiceStub(channel)
            info = stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=family.metadata)
            assert (info.processes, info.slots) == (2, 3)


def test_native_connections_lead_to_either_process(family: Server) -> None:
    """The kernel spreads connections: of forty, all go to one with a probability of 2 to the power of -39."""

    def connect(number: int) -> int:
        with grpc.insecure_channel(family.grpc, [("polycall.number", number)]) as channel:  # no connection is shared
            stub = server_service_pb2_grpc.ServerServiceStub(channel)
            return int(stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=family.metadata).slots)

    before = {member.pid: member.io_counters().read_chars for member in members(family)}
    assert {connect(number) for number in range(40)} == {3}
    port = int(family.grpc.rpartition(":")[2])
    listening = [
        member.pid
        for member in members(family)
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in member.net_connections("tcp"))
    ]
    assert sorted(listening) == sorted(before)


# what one knows, the others do not serve from memory


def test_a_key_that_is_revoked_at_one_process_is_refused_by_the_other_at_once(family: Server) -> None:
    with channels(family) as both:
        for number in range(10):
            created = family.tenancy.CreateApiKey(tenancy_service_pb2.CreateApiKeyRequest(), metadata=family.metadata)
            metadata = [("authorization", f"Bearer {created.key}")]
            run = execution_service_pb2.ListExecutionsRequest()
            for channel in both:
                executions(channel).ListExecutions(run, metadata=metadata)  # both know it
            here, there = both if number % 2 else both[::-1]
            tenancy_service_pb2_grpc.TenancyServiceStub(here).RevokeApiKey(
                tenancy_service_pb2.RevokeApiKeyRequest(name=created.api_key.name), metadata=family.metadata
            )
            with pytest.raises(grpc.RpcError) as refused:
                executions(there).ListExecutions(run, metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_version_that_is_made_or_deleted_at_one_process_is_so_at_the_other_at_once(family: Server) -> None:
    run = execution_service_pb2.RunFunctionRequest(function="packages/changing/functions/f")
    with channels(family) as both:
        here, there = both
        for number in range(6):
            files = {"main.py": f"def f(): return {number}"}
            body = package_service_pb2.CreateVersionRequest(parent="packages/changing", create_package=True)
            for path, text in files.items():
                body.files.files.add(path=path, contents=text.encode())
            package_service_pb2_grpc.PackageServiceStub(here).CreateVersion(body, metadata=family.metadata)
            assert executions(there).RunFunction(run, metadata=family.metadata).output_json == str(number)
            here, there = there, here
        package_service_pb2_grpc.PackageServiceStub(here).DeletePackage(
            package_service_pb2.DeletePackageRequest(name="packages/changing"), metadata=family.metadata
        )
        with pytest.raises(grpc.RpcError) as gone:
            executions(there).RunFunction(run, metadata=family.metadata)
        assert gone.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_secret_that_is_changed_or_deleted_at_one_process_is_so_at_the_other_at_once(family: Server) -> None:
    named = execution_service_pb2.ExecuteRequest(
        code="import os\ndef execute(input): return os.environ['A']", secret_env={"A": "secrets/changing"}
    )
    with channels(family) as both:
        here, there = both
        for value in ("0", "1", "2", "3"):
            secret = secret_pb2.Secret(name="secrets/changing", display_name="n", value=value)
            stub = secret_service_pb2_grpc.SecretServiceStub(here)
            if value == "0":
                new = secret_service_pb2.CreateSecretRequest(secret_id="changing", secret=secret)
                stub.CreateSecret(new, metadata=family.metadata)
            else:
                stub.UpdateSecret(secret_service_pb2.UpdateSecretRequest(secret=secret), metadata=family.metadata)
            for channel in (there, here):  # both know it
                answer = executions(channel).Execute(named, metadata=family.metadata)
                assert answer.output_json == f'"{value}"'
            here, there = there, here
        delete = secret_service_pb2.DeleteSecretRequest(name="secrets/changing")
        secret_service_pb2_grpc.SecretServiceStub(here).DeleteSecret(delete, metadata=family.metadata)
        with pytest.raises(grpc.RpcError) as gone:
            executions(there).Execute(named, metadata=family.metadata)
        assert gone.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("both_verbs", [False, True])
def test_a_request_id_that_is_sent_to_both_at_once_makes_one_execution(family: Server, both_verbs: bool) -> None:
    code = "import secrets, time\ntime.sleep(0.1)\ndef execute(input=None): return secrets.token_hex(8)\n"
    family.deploy("once", {"main.py": code}, version=uuid.uuid4().hex[:8])
    with channels(family) as both:
        for _ in range(5):
            token = str(uuid.uuid4())
            ad_hoc = execution_service_pb2.ExecuteRequest(code=code, request_id=token)
            run = execution_service_pb2.RunFunctionRequest(function="packages/once/functions/execute", request_id=token)
            futures = [
                executions(channel).RunFunction.future(run, metadata=family.metadata)
                if both_verbs
                else executions(channel).Execute.future(ad_hoc, metadata=family.metadata)
                for channel in both * 2
            ]
            answers = [future.result() for future in futures]
            assert len({answer.name for answer in answers}) == 1
            assert len({answer.output_json for answer in answers}) == 1
            assert {answer.state for answer in answers} == {Execution.STATE_COMPLETED}


def test_a_request_id_whose_run_has_no_answer_is_free_again_for_the_other(family: Server) -> None:
    token = str(uuid.uuid4())
    hanging = execution_service_pb2.ExecuteRequest(
        code="import time\ndef execute(input): time.sleep(600)", request_id=token
    )
    quick = execution_service_pb2.ExecuteRequest(code="def execute(input): return 7", request_id=token)
    with channels(family) as (here, there):
        first = executions(here).Execute.future(hanging, metadata=family.metadata)
        until(lambda: sum(owners(family).values()) == 1, what="the first to run")
        second = executions(there).Execute.future(quick, metadata=family.metadata)
        first.cancel()
        assert second.result().output_json == "7"


def test_an_execution_is_read_through_the_other_process_in_the_moment_of_its_answer(family: Server) -> None:
    with channels(family) as both:
        here, there = both
        for _ in range(20):
            run = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")
            answer = executions(here).Execute(run, metadata=family.metadata)
            get = execution_service_pb2.GetExecutionRequest(name=answer.name)
            assert executions(there).GetExecution(get, metadata=family.metadata) == answer
            here, there = there, here


def test_what_runs_at_one_process_is_cancelled_through_the_other(family: Server) -> None:
    code = "import time\ndef execute(input):\n    print('begun', flush=True)\n    time.sleep(600)"
    with channels(family) as (here, there):
        begin = execution_service_pb2.StreamExecutionRequest(execute=execution_service_pb2.ExecuteRequest(code=code))
        stream = executions(here).StreamExecution(begin, metadata=family.metadata)
        name = next(stream).started.name
        cancelled = executions(there).CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=name), metadata=family.metadata
        )
        assert cancelled.state == Execution.STATE_CANCELLED
        *_, last = stream
        assert last.finished.state == Execution.STATE_CANCELLED
        request = execution_service_pb2.GetExecutionRequest(name=name)
        for channel in (here, there):
            found = executions(channel).GetExecution(request, metadata=family.metadata)
            assert found.state == Execution.STATE_CANCELLED


def test_a_call_that_one_process_runs_is_followed_through_the_other_while_it_runs(family: Server) -> None:
    files = {"main.py": "import time\ndef execute():\n    print('begun', flush=True)\n    time.sleep(600)"}
    family.deploy("loud", files, version=uuid.uuid4().hex[:8])
    request = execution_service_pb2.CallRequest(function="packages/loud/functions/execute")
    name = family.executions.Call(request, metadata=family.metadata).name
    with channels(family) as both:
        follow = execution_service_pb2.StreamExecutionRequest(name=name)
        for stream in [executions(channel).StreamExecution(follow, metadata=family.metadata) for channel in both]:
            assert next(stream).started.name == name
            assert next(stream).output.data == b"begun\n"
            assert get(family, name).state == Execution.STATE_RUNNING
            stream.cancel()
    cancelled = family.executions.CancelExecution(
        execution_service_pb2.CancelExecutionRequest(name=name), metadata=family.metadata
    )
    assert cancelled.state == Execution.STATE_CANCELLED


def test_calls_run_once_each_wherever_they_are_taken(family: Server) -> None:
    names = [call(family, "who") for _ in range(60)]
    for name in names:
        wait = execution_service_pb2.WaitExecutionRequest(name=name, timeout=duration_pb2.Duration(seconds=60))
        ended = family.executions.WaitExecution(wait, metadata=family.metadata)
        assert (ended.state, ended.attempt, ended.output_json) == (Execution.STATE_COMPLETED, 1, '"me"')


# one dies


def test_a_process_that_is_killed_loses_what_it_ran_once_and_nothing_of_its_sibling(family: Server) -> None:
    limits = execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=600))
    names = [call(family, "hang", max_attempts=1, limits=limits) for _ in range(4)]
    until(lambda: sorted(owners(family).values()) == [2, 2], seconds=LATE_S, what="two calls at each process")
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            status, _ = rest(family, "def execute(input): return 1")
            statuses[status] += 1

    ran = owners(family)
    before = members(family)
    killed = before[0]
    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(load) for _ in range(3)]
        until(lambda: statuses[200] > 10, seconds=LATE_S, what="some load")
        killed.kill()
        at = statuses[200]
        until(lambda: statuses[200] > at + 20, seconds=LATE_S, what="the other to serve")
        until(lambda: len(members(family)) == 2 and killed not in members(family), seconds=LATE_S, what="a successor")
        until(lambda: sorted(owners(family).values()) == [2], seconds=LATE_S, what="the recovery")
        with channels(family) as both:
            for channel in both:
                grpc.channel_ready_future(channel).result(LATE_S)
        stop.set()
        for done in work:
            done.result()
    assert before[1] in members(family)
    # a request that was at the process that died is lost with it: at most those of three who ask one after the other
    assert statuses.total() - statuses[200] <= 3, statuses
    states = Counter(get(family, name).state for name in names)
    assert states == Counter({Execution.STATE_FAILED: 2, Execution.STATE_RUNNING: 2})
    # the record of a run that took long may still be on its way
    ((left, _),) = until(lambda: (found := owners(family).items()) and len(found) == 1 and found, what="one owner")
    assert ran[left] == 2  # its owner never changed
    for name in names:
        found = get(family, name)
        if found.state == Execution.STATE_FAILED:
            assert (found.error.reason, found.attempt) == (error_reason_pb2.ERROR_REASON_WORKER_LOST, 1)
        else:
            request = execution_service_pb2.CancelExecutionRequest(name=name)
            cancelled = family.executions.CancelExecution(request, metadata=family.metadata)
            assert cancelled.state == Execution.STATE_CANCELLED


def test_a_second_family_on_the_same_directory_is_refused(family: Server) -> None:
    assert family.process is not None
    said = refused_start(family.data_dir, POLYCALL_PROCESSES="2")
    assert f"is in use by another polycall server (pid {family.process.pid})" in said


def test_an_address_that_others_have_is_named_and_nothing_is_left(family: Server, tmp_path: Path) -> None:
    said = refused_start(tmp_path, POLYCALL_PROCESSES="2", POLYCALL_GRPC_ADDRESS=family.grpc)
    assert family.grpc in said
    assert "taken" in said
    assert not (tmp_path / "run").exists()


def test_a_process_that_cannot_start_is_named_with_its_reason_and_nothing_is_left(tmp_path: Path) -> None:
    # the first has the last port that there is, so there is none for the second
    said = refused_start(tmp_path, POLYCALL_PROCESSES="2", POLYCALL_METRICS_ADDRESS="127.0.0.1:65535")
    assert (
        "Server process 1 does not start: Cannot listen on 127.0.0.1:65536 for metrics: there is no such port" in said
    )
    assert not (tmp_path / "run").exists()
    assert [p for p in psutil.process_iter(["environ"]) if str(tmp_path) in str(p.info["environ"])] == []


# the end


def test_a_stop_says_of_each_process_what_went_wrong_and_leaves_none(tmp_path: Path) -> None:
    settings = {**SETTINGS, "POLYCALL_GATEWAY": "false", "POLYCALL_DRAIN_GRACE_S": "0.1"}
    server = Server(tmp_path, environment=settings).start()
    below = server.descendants()
    groups = groups_of(below)
    assert server.process is not None
    with channels(server) as (channel, other), contextlib.closing(_raw(server)) as raw:
        watching = health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest())
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        raw.execute("BEGIN IMMEDIATE")  # nobody else can write
        request = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")
        assert executions(channel).Execute(request, metadata=server.metadata).output_json == "1"
        server.process.send_signal(signal.SIGTERM)
        assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
        max(members(server), key=lambda member: member.create_time()).kill()
        assert server._reap() == 3  # as of a server that is one process
        raw.execute("ROLLBACK")
    server.close_channel()
    assert server.log.read_text().splitlines()[-1] == (
        "polycall: Server process 0 did not stop as it should: The database did not take everything before the end: "
        "1 records of synchronous executions are lost; calls that have not ended go back to the queue by this server's "
        "lease, or at its next start. "
        "Server process 1 did not stop as it should: It was killed by SIGKILL."
    )
    assert psutil.wait_procs(below, timeout=LATE_S)[1] == []
    assert not (server.data_dir / "run").exists()
    assert [group for group in groups if group.exists()] == []


def _raw(server: Server) -> sqlite3.Connection:
    return sqlite3.connect(server.data_dir / "polycall.db", isolation_level=None)


def test_sigterm_lets_all_of_them_drain_and_no_call_fails(tmp_path: Path) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        slow = "import time\ndef execute(input):\n    time.sleep(3)\n    return 1"
        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(rest, server, slow) for _ in range(4)]
            native = [
                server.executions.Execute.future(
                    execution_service_pb2.ExecuteRequest(code=slow), metadata=server.metadata
                )
                for _ in range(2)
            ]
            until(lambda: under_way(server) == 6, seconds=LATE_S, what="the requests to arrive")
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            assert [status for status, _ in (answer.result() for answer in answers)] == [200] * 4
            assert [future.result().output_json for future in native] == ["1", "1"]


def under_way(server: Server) -> int:
    """How many runs have a process, or wait."""
    count = 0
    with channels(server) as both:
        for channel in both:
            stub = server_service_pb2_grpc.ServerServiceStub(channel)
            info = stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=server.metadata)
            count += info.pool.busy + info.pool.queued
    return count


def test_when_the_supervisor_is_killed_nothing_is_left_and_calls_go_on_after_the_next_start(tmp_path: Path) -> None:
    server = Server(tmp_path, environment=SETTINGS).start()
    server.deploy("p", {"main.py": HANGS})
    hanging = [call(server, "hang", max_attempts=1) for _ in range(4)]
    until(lambda: sum(owners(server).values()) == 4, seconds=LATE_S, what="the calls to run")
    queued = call(server, "who")
    server.kill()  # it waits for the end of everything below
    with running_server(tmp_path, **SETTINGS) as server:
        states = [get(server, name).state for name in hanging]
        assert states == [Execution.STATE_FAILED] * 4
        wait = execution_service_pb2.WaitExecutionRequest(name=queued, timeout=duration_pb2.Duration(seconds=30))
        assert server.executions.WaitExecution(wait, metadata=server.metadata).output_json == '"me"'


def test_the_supervisor_knows_no_grpc() -> None:
    program = "import sys, polycall.family.supervisor; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
