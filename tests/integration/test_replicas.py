"""Several servers on one PostgreSQL: what each has promised is kept, whoever is lost."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import duration_pb2

from polycall.v1 import (
    error_reason_pb2,
    execution_pb2,
    execution_service_pb2,
    package_service_pb2,
    runtime_service_pb2,
    schedule_pb2,
    schedule_service_pb2,
    secret_service_pb2,
    tenancy_service_pb2,
)
from tests.harness import Server, until
from tests.replicas import new_database, replicas

STATES = execution_pb2.Execution.State
FINAL = (
    STATES.STATE_COMPLETED,
    STATES.STATE_FAILED,
    STATES.STATE_TIMEOUT,
    STATES.STATE_CANCELLED,
)
# a run says where it is: its server's directory is not visible, the time it takes is given
SLOW = """import time

def nap(seconds, n=0):
    time.sleep(seconds)
    return n
"""


@pytest.fixture(scope="module")
def servers(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, ...]]:
    """Two servers that share a database and the key for secrets."""
    settings = {"POLYCALL_SLOTS": "4", "POLYCALL_CALL_SLOTS": "3", "POLYCALL_DRAIN_GRACE_S": "10"}
    directory, database = tmp_path_factory.mktemp("replicas"), new_database(postgres_server)
    with replicas(directory, database, ("first", "second"), settings) as servers:
        servers[0].deploy("slow", {"main.py": SLOW}, release=True)
        yield servers


@pytest.fixture
def pair(servers: tuple[Server, ...]) -> Iterator[tuple[Server, Server]]:
    """Both of them, up and with nothing to do."""
    for server in servers:
        if server.process is None or server.process.poll() is not None:
            server.start()
    yield servers[0], servers[1]
    asked = servers[1]
    unended = execution_service_pb2.ListExecutionsRequest(states=[STATES.STATE_QUEUED, STATES.STATE_RUNNING])
    for execution in asked.executions.ListExecutions(unended, metadata=asked.metadata).executions:
        cancel = execution_service_pb2.CancelExecutionRequest(name=execution.name)
        asked.executions.CancelExecution(cancel, metadata=asked.metadata)


def _call(server: Server, seconds: float, n: int = 0, attempts: int = 3) -> str:
    request = execution_service_pb2.CallRequest(
        function="packages/slow/functions/nap",
        input_json=json.dumps({"seconds": seconds, "n": n}),
        max_attempts=attempts,
    )
    request.limits.timeout.seconds = 300  # of a busy machine: a run that is waited for does not end of itself
    return str(server.executions.Call(request, metadata=server.metadata).name)


def _get(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    execution: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata)
    return execution


def _ended(server: Server, name: str) -> execution_pb2.Execution | None:
    execution = _get(server, name)
    return execution if execution.state in FINAL else None


def _run(server: Server, n: int, package: str) -> execution_pb2.Execution:
    request = execution_service_pb2.RunFunctionRequest(
        function=f"packages/{package}/functions/nap", input_json=json.dumps({"seconds": 0, "n": n})
    )
    execution: execution_pb2.Execution = server.executions.RunFunction(request, metadata=server.metadata)
    return execution


def _running(server: Server, names: list[str]) -> bool:
    return all(_get(server, name).state == STATES.STATE_RUNNING for name in names)


def test_what_one_has_changed_the_other_knows_when_the_answer_comes(pair: tuple[Server, Server]) -> None:
    first, second = pair
    first.deploy("news", {"main.py": SLOW}, release=True)
    assert _run(second, 7, "news").output_json == "7"
    # a version
    first.deploy("news", {"main.py": "def nap(seconds, n):\n    return -n\n"}, release=True)
    assert _run(second, 7, "news").output_json == "-7"
    # a key
    made = first.tenancy.CreateApiKey(tenancy_service_pb2.CreateApiKeyRequest(), metadata=first.metadata)
    metadata = [("authorization", f"Bearer {made.key}")]
    listing = execution_service_pb2.ListExecutionsRequest()
    second.executions.ListExecutions(listing, metadata=metadata)
    first.tenancy.RevokeApiKey(tenancy_service_pb2.RevokeApiKeyRequest(name=made.api_key.name), metadata=first.metadata)
    with pytest.raises(grpc.RpcError) as refused:
        second.executions.ListExecutions(listing, metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    # a record, before it is written
    ran = _run(first, 8, "news")
    assert _get(second, ran.name).output_json == "-8"
    # a package
    first.packages.DeletePackage(
        package_service_pb2.DeletePackageRequest(name="packages/news"), metadata=first.metadata
    )
    with pytest.raises(grpc.RpcError) as missing:
        _run(second, 9, "news")
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_request_that_two_servers_get_makes_one_thing(pair: tuple[Server, Server]) -> None:
    token = str(uuid.uuid4())
    call = execution_service_pb2.CallRequest(
        function="packages/slow/functions/nap", input_json='{"seconds": 0}', request_id=token
    )
    wanted = schedule_pb2.Schedule(function="packages/slow/functions/nap", cron="0 0 1 1 *")
    schedule = schedule_service_pb2.CreateScheduleRequest(schedule=wanted, request_id=token)
    runtime = runtime_service_pb2.CreateRuntimeRequest(request_id=token)
    version = package_service_pb2.CreateVersionRequest(parent="packages/once", create_package=True, request_id=token)
    version.files.files.add(path="main.py", contents=SLOW.encode())
    secret = secret_service_pb2.CreateSecretRequest(request_id=token)
    secret.secret.display_name, secret.secret.value = "once", "hunter2"
    with ThreadPoolExecutor(12) as clients:
        for request, act in (
            (call, lambda server, it: server.executions.Call(it, metadata=server.metadata)),
            (schedule, lambda server, it: server.schedules.CreateSchedule(it, metadata=server.metadata)),
            (runtime, lambda server, it: server.runtimes.CreateRuntime(it, metadata=server.metadata)),
            (version, lambda server, it: server.packages.CreateVersion(it, metadata=server.metadata)),
            (secret, lambda server, it: server.secrets.CreateSecret(it, metadata=server.metadata)),
        ):
            # at once, and again
            for _ in range(2):
                made = list(clients.map(lambda server, act=act, it=request: act(server, it).name, pair * 6))
                assert len(set(made)) == 1
    listed = pair[0].schedules.ListSchedules(schedule_service_pb2.ListSchedulesRequest(), metadata=pair[0].metadata)
    assert len(listed.schedules) == 1
    kept = pair[1].runtimes.ListRuntimes(runtime_service_pb2.ListRuntimesRequest(), metadata=pair[1].metadata)
    assert len(kept.runtimes) == 1
    listing = package_service_pb2.ListVersionsRequest(parent="packages/once")
    versions = pair[0].packages.ListVersions(listing, metadata=pair[0].metadata).versions
    assert [each.name for each in versions] == ["packages/once/versions/1"]
    secrets = pair[1].secrets.ListSecrets(secret_service_pb2.ListSecretsRequest(), metadata=pair[1].metadata).secrets
    assert len(secrets) == 1


def test_a_run_is_cancelled_from_another_server(pair: tuple[Server, Server]) -> None:
    first, second = pair
    names = [_call(first, 60) for _ in range(2)]
    until(lambda: _running(second, names), what="both to run")
    for name in names:
        second.executions.CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=name), metadata=second.metadata
        )
    for name in names:
        ended = until(lambda name=name: _ended(first, name), what=f"the end of {name}")
        assert (ended.state, ended.attempt) == (STATES.STATE_CANCELLED, 1)


def test_no_accepted_call_is_lost_with_a_server(pair: tuple[Server, Server]) -> None:
    first, second = pair
    names = [_call(server, 0.05, n) for n, server in enumerate([first, second] * 20)]
    names += [_call(first, 1.5, 40 + n) for n in range(6)]
    until(lambda: _running(second, names[-1:]), what="the last to run")
    first.kill()
    for n, name in enumerate(names):
        ended = until(lambda name=name: _ended(second, name), what=f"the end of {name}")
        assert (ended.state, ended.output_json) == (STATES.STATE_COMPLETED, str(n))
        assert ended.attempt <= 2


def test_what_may_not_run_again_ends_with_its_server(pair: tuple[Server, Server]) -> None:
    first, second = pair
    # all slots for Calls of both: three of these run on each
    names = [_call(first, 600, attempts=1) for _ in range(6)]
    until(lambda: _running(second, names), what="all to run")
    first.kill()
    until(lambda: sum(_ended(second, name) is not None for name in names) >= 3, what="the end of the lost")
    lost = [one for one in (_ended(second, name) for name in names) if one is not None]
    assert len(lost) == 3
    assert {one.state for one in lost} == {STATES.STATE_FAILED}
    assert {one.error.reason for one in lost} == {error_reason_pb2.ERROR_REASON_WORKER_LOST}
    # its next boot knows that the one before is dead, and need not wait for a lease; the other one's runs are let be
    kept = [name for name in names if _ended(second, name) is None]
    names = [_call(second, 600) for _ in range(3)]
    first.start()
    until(lambda: _running(second, names), what="the others to run")
    first.kill()
    first.start()
    until(lambda: _running(second, names), what="the others to run")
    assert [_get(second, name).attempt for name in names] == [2, 2, 2]
    assert [(_get(first, name).state, _get(first, name).attempt) for name in kept] == [(STATES.STATE_RUNNING, 1)] * 3
    for name in (*names, *kept):
        first.executions.CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=name), metadata=first.metadata
        )


def test_a_server_that_was_frozen_cannot_write_over_its_successor(pair: tuple[Server, Server]) -> None:
    first, second = pair
    # all slots for Calls of both: three of these run on each
    names = [_call(first, 4, n) for n in range(6)]
    until(lambda: _running(second, names), what="all to run")
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    try:
        ended = [until(lambda name=name: _ended(second, name), what="an end") for name in names]
        assert [(one.state, one.output_json) for one in ended] == [(STATES.STATE_COMPLETED, str(n)) for n in range(6)]
        assert sorted(one.attempt for one in ended) == [1, 1, 1, 2, 2, 2]
    finally:
        first.process.send_signal(signal.SIGCONT)
    # stopped when it says that it lives and learns what is its own, or dropped if it ended before that
    fences = ("it is not this server's any more", "this end is dropped")
    until(lambda: any(fence in first.log.read_text() for fence in fences), what="the fence")
    told = [(one.attempt, one.end_time, one.output_json) for one in ended]

    def same() -> bool:
        again = [_get(first, name) for name in names]
        return [(one.attempt, one.end_time, one.output_json) for one in again] == told

    until(same, what="what its successor wrote")
    # and it takes part again
    wait = execution_service_pb2.WaitExecutionRequest(
        name=_call(first, 0, 9), timeout=duration_pb2.Duration(seconds=30)
    )
    assert first.executions.WaitExecution(wait, metadata=first.metadata).output_json == "9"


def test_a_server_that_is_stopped_hands_over_at_once(pair: tuple[Server, Server]) -> None:
    first, second = pair
    names = [_call(first, 2, n) for n in range(6)]
    until(lambda: all(_get(second, name).state != STATES.STATE_QUEUED for name in names), what="all to have begun")
    assert first.terminate() == 0
    ended = [until(lambda name=name: _ended(second, name), what="an end") for name in names]
    assert [(one.state, one.attempt) for one in ended] == [(STATES.STATE_COMPLETED, 1)] * 6
