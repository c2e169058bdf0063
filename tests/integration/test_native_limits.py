"""Priorities, limits, retries and policies of Calls, as a client of a running server sees them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2

from polycall.errors import Code
from polycall.v1 import (
    error_reason_pb2,
    execution_pb2,
    execution_service_pb2,
    package_service_pb2,
    policy_pb2,
    policy_service_pb2,
    tenancy_service_pb2,
)
from tests.harness import Server, running_server, until
from tests.integration.native import bad_fields, refusal

pb = execution_service_pb2
STATES = execution_pb2.Execution.State
RetryPolicy = policy_pb2.RetryPolicy
SOURCE = """import sys, time

def nap(seconds=0, n=0):
    time.sleep(seconds)
    return n

def fail(say="no"):
    print(f"tried at {time.time()}")
    print(f"told {say}", file=sys.stderr)
    raise ValueError(say)

def hang():
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of its own: its slots are counted."""
    settings = {"POLYCALL_SLOTS": "4", "POLYCALL_CALL_SLOTS": "2", "POLYCALL_GATEWAY": "false"}
    with running_server(Path(tmp_path_factory.mktemp("limits")), **settings) as running:
        running.deploy("limited", {"main.py": SOURCE}, release=True)
        yield running


def call(server: Server, function: str = "nap", payload: Any = None, **fields: Any) -> str:
    request = pb.CallRequest(
        function=f"packages/limited/functions/{function}", input_json=json.dumps(payload or {}), **fields
    )
    return str(server.executions.Call(request, metadata=server.metadata).name)


def get(server: Server, name: str, attempt: int = 0) -> execution_pb2.Execution:
    request = pb.GetExecutionRequest(name=name, attempt=attempt)
    found: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata)
    return found


def ended(server: Server, name: str) -> execution_pb2.Execution:
    request = pb.WaitExecutionRequest(name=name, timeout=duration_pb2.Duration(seconds=60))
    found: execution_pb2.Execution = server.executions.WaitExecution(request, metadata=server.metadata, timeout=90)
    assert found.state not in (STATES.STATE_QUEUED, STATES.STATE_RUNNING)
    return found


def cancel(server: Server, name: str) -> execution_pb2.Execution:
    found: execution_pb2.Execution = server.executions.CancelExecution(
        pb.CancelExecutionRequest(name=name), metadata=server.metadata
    )
    return found


def retry(attempts: int, wait_ms: int = 100, **fields: Any) -> policy_pb2.RetryPolicy:
    wait = duration_pb2.Duration(nanos=wait_ms * 1_000_000)
    return RetryPolicy(max_attempts=attempts, initial_backoff=wait, jitter=0, **fields)


def policy(server: Server, function: str, **fields: Any) -> policy_pb2.FunctionPolicy:
    """Set a policy: what is given as None is taken away."""
    name = f"packages/limited/functions/{function}/policy"
    given = {field: value for field, value in fields.items() if value is not None}
    request = policy_service_pb2.UpdateFunctionPolicyRequest(
        policy=policy_pb2.FunctionPolicy(name=name, **given), update_mask=field_mask_pb2.FieldMask(paths=list(fields))
    )
    answer: policy_pb2.FunctionPolicy = server.policies.UpdateFunctionPolicy(request, metadata=server.metadata)
    return answer


def state(server: Server, name: str) -> Any:
    return get(server, name).state


def test_the_highest_priority_starts_first(server: Server) -> None:
    holds = [call(server, "hang") for _ in range(2)]  # all slots for Calls
    for name in holds:
        until(lambda name=name: state(server, name) == STATES.STATE_RUNNING, what="the slots to be taken")
    low = call(server, payload={"n": 1}, priority=-9)
    middle = call(server, payload={"n": 2})
    high = call(server, payload={"n": 3}, priority=9)
    cancel(server, holds[0])  # one slot: they follow each other
    started = {name: ended(server, name).start_time.ToMilliseconds() for name in (low, middle, high)}
    cancel(server, holds[1])
    assert started[high] < started[middle] < started[low]
    assert [get(server, name).priority for name in (low, middle, high)] == [-9, 0, 9]


def test_a_priority_that_there_is_not_is_refused(server: Server) -> None:
    for priority in (-10, 10, 2**31 - 1):
        refused = refusal(partial(call, server, priority=priority))
        assert bad_fields(refused) == {"priority": f"must be -9 to 9, got {priority}"}


def test_a_limit_can_be_set_seen_raised_and_taken_away_while_calls_wait(server: Server) -> None:
    assert policy(server, "hang", max_running=1).max_running == 1
    names = [call(server, "hang") for _ in range(3)]
    until(lambda: [state(server, name) for name in names].count(STATES.STATE_RUNNING) == 1, what="the first to run")
    # others of the project are not held up by it
    assert ended(server, call(server, payload={"n": 5})).output_json == "5"
    request = policy_service_pb2.GetFunctionPolicyRequest(name="packages/limited/functions/hang/policy")
    seen = server.policies.GetFunctionPolicy(request, metadata=server.metadata)
    assert (seen.max_running, seen.running_count, seen.queued_count) == (1, 1, 2)
    listed = server.policies.ListFunctionPolicies(
        policy_service_pb2.ListFunctionPoliciesRequest(), metadata=server.metadata
    )
    assert [(one.name, one.max_running) for one in listed.policies] == [(request.name, 1)]
    policy(server, "hang", max_running=2)
    until(lambda: [state(server, name) for name in names].count(STATES.STATE_RUNNING) == 2, what="the second to run")
    policy(server, "hang", max_running=1)
    first = next(name for name in names if state(server, name) == STATES.STATE_RUNNING)
    cancel(server, first)
    assert ended(server, call(server, payload={"n": 6})).output_json == "6"  # and meanwhile
    assert [state(server, name) for name in names].count(STATES.STATE_RUNNING) == 1
    taken_away = policy(server, "hang", max_running=None)
    assert not taken_away.HasField("max_running")
    names.remove(first)
    until(lambda: [state(server, name) for name in names].count(STATES.STATE_RUNNING) == 2, what="the last to run")
    for name in names:
        cancel(server, name)


def test_a_project_has_a_limit_that_only_an_operator_sets(server: Server) -> None:
    def update(limit: int | None, metadata: Any = None) -> Any:
        return server.tenancy.UpdateProject(
            tenancy_service_pb2.UpdateProjectRequest(
                project=tenancy_service_pb2.Project(name="projects/default", max_running=limit),
                update_mask=field_mask_pb2.FieldMask(paths=["max_running"]),
            ),
            metadata=metadata or server.metadata,
        )

    assert update(1).max_running == 1
    first = call(server, "hang")
    until(lambda: state(server, first) == STATES.STATE_RUNNING, what="the first to run")
    second = call(server, payload={"n": 1})
    scopes = tenancy_service_pb2.ApiKey
    key = [("authorization", f"Bearer {server.new_key(scopes=[scopes.SCOPE_READ, scopes.SCOPE_ADMIN])}")]
    assert refusal(lambda: update(5, key)).code == Code.PERMISSION_DENIED
    named = tenancy_service_pb2.GetProjectRequest(name="projects/default")
    assert server.tenancy.GetProject(named, metadata=key).max_running == 1
    other = tenancy_service_pb2.GetProjectRequest(name="projects/nobodys")
    assert refusal(lambda: server.tenancy.GetProject(other, metadata=key)).code == Code.PERMISSION_DENIED
    assert refusal(lambda: server.tenancy.GetProject(other, metadata=server.metadata)).code == Code.NOT_FOUND
    assert state(server, second) == STATES.STATE_QUEUED
    refused = refusal(lambda: update(0))
    assert "with 0 nothing would ever start" in bad_fields(refused)["project.max_running"]
    assert not update(None).HasField("max_running")
    assert ended(server, second).output_json == "1"
    cancel(server, first)


def test_limits_and_policies_out_of_range_are_refused_with_what_is_wrong(server: Server) -> None:
    refused = refusal(lambda: policy(server, "nap", max_running=0))
    assert refused.reason == "LIMIT_OUT_OF_RANGE"
    assert bad_fields(refused) == {
        "policy.max_running": "must be 1 to 10000, got 0: with 0 nothing would ever start. "
        "To have no limit, name it in update_mask and do not set it"
    }
    assert refusal(lambda: policy(server, "nap", max_running=-1)).reason == "LIMIT_OUT_OF_RANGE"
    assert refusal(lambda: policy(server, "nothing", max_running=1)).reason == "FUNCTION_NOT_FOUND"
    unknown = policy_service_pb2.GetFunctionPolicyRequest(name="packages/nothing/functions/f/policy")
    assert refusal(lambda: server.policies.GetFunctionPolicy(unknown, metadata=server.metadata)).code == Code.NOT_FOUND
    assert "update_mask.paths[0]" in bad_fields(refusal(lambda: policy(server, "nap", name=None)))
    wrong = RetryPolicy(
        max_attempts=11,
        initial_backoff=duration_pb2.Duration(seconds=-1),
        multiplier=float("nan"),
        jitter=1.5,
        reasons=[
            error_reason_pb2.ERROR_REASON_EXECUTION_CANCELLED,
            error_reason_pb2.ERROR_REASON_USER_EXIT,
        ],
    )
    for act, field in (
        (lambda: policy(server, "nap", retry_policy=wrong), "policy.retry_policy"),
        (lambda: call(server, retry_policy=wrong), "retry_policy"),
    ):
        assert set(bad_fields(refusal(act))) == {
            f"{field}.{name}" for name in ("max_attempts", "initial_backoff", "multiplier", "jitter", "reasons[0]")
        }
    short = RetryPolicy(
        max_attempts=2,
        initial_backoff=duration_pb2.Duration(seconds=9),
        maximum_backoff=duration_pb2.Duration(seconds=8),
    )
    assert set(bad_fields(refusal(lambda: call(server, retry_policy=short)))) == {"retry_policy.maximum_backoff"}


def test_what_fails_is_tried_again_as_its_call_says_and_each_attempt_can_be_told_apart(server: Server) -> None:
    name = call(server, "fail", {"say": "never"}, retry_policy=retry(3))
    execution = ended(server, name)
    assert (execution.state, execution.attempt, execution.max_attempts) == (STATES.STATE_FAILED, 3, 3)
    assert execution.error.message == "never"
    assert [(one.number, one.error.type, one.error.traceback) for one in execution.attempts] == [
        (1, "ValueError", ""),
        (2, "ValueError", ""),
    ]
    assert execution.retry_policy.max_attempts == 3
    # the waits: 0.1 s, then 0.2 s, and none shorter
    starts = [*(one.start_time.ToMilliseconds() for one in execution.attempts), execution.start_time.ToMilliseconds()]
    ends = [one.end_time.ToMilliseconds() for one in execution.attempts]
    assert starts[1] - ends[0] >= 100
    assert starts[2] - ends[1] >= 200
    outputs = [get(server, name, attempt).stdout for attempt in (1, 2, 3)]
    assert len(set(outputs)) == 3
    assert all(output.startswith("tried at ") and output.count("\n") == 1 for output in outputs)
    first = get(server, name, 1)
    assert (first.attempt, first.error.message, first.end_time) == (1, "never", execution.attempts[0].end_time)
    assert refusal(lambda: get(server, name, 9)).code == Code.INVALID_ARGUMENT


def test_nothing_that_fails_is_tried_again_unless_somebody_says_so(server: Server) -> None:
    assert ended(server, call(server, "fail")).attempt == 1
    policy(server, "fail", retry_policy=retry(2))
    assert ended(server, call(server, "fail")).attempt == 2
    # its own word comes first
    assert ended(server, call(server, "fail", retry_policy=retry(1))).attempt == 1
    only_exits = retry(3, reasons=[error_reason_pb2.ERROR_REASON_USER_EXIT])
    assert ended(server, call(server, "fail", retry_policy=only_exits)).attempt == 1
    policy(server, "fail", retry_policy=None)
    assert ended(server, call(server, "fail")).attempt == 1
    # a time limit of its own is an end like others
    limits = execution_pb2.Limits(timeout=duration_pb2.Duration(nanos=100_000_000))
    late = ended(server, call(server, "hang", limits=limits, retry_policy=retry(2)))
    assert (late.state, late.attempt) == (STATES.STATE_TIMEOUT, 2)


def test_between_attempts_a_call_says_why_and_when_and_can_be_cancelled(server: Server) -> None:
    other = RetryPolicy(max_attempts=2, initial_backoff=duration_pb2.Duration(seconds=3600))
    name = call(server, "fail", {"say": "later"}, retry_policy=other)
    waits = until(
        lambda: (one := get(server, name)).state == STATES.STATE_QUEUED and one.attempt == 1 and one,
        what="the first attempt to fail",
    )
    assert (waits.error.message, waits.attempts[0].number, waits.HasField("start_time")) == ("later", 1, False)
    wait_ms = waits.next_attempt_time.ToMilliseconds() - waits.attempts[0].end_time.ToMilliseconds()
    assert 0.8 * 3_600_000 - 1000 <= wait_ms <= 3_600_000 + 60_000  # jitter 0.2 if not set
    cancelled = cancel(server, name)
    assert cancelled.state == STATES.STATE_CANCELLED
    assert get(server, name, 1).stderr.startswith("told later")


def test_the_deadline_is_that_of_all_attempts_together(server: Server) -> None:
    deadline = timestamp_pb2.Timestamp()
    deadline.GetCurrentTime()
    deadline.seconds += 3600
    wait = RetryPolicy(max_attempts=9, initial_backoff=duration_pb2.Duration(seconds=3600), jitter=0)
    # the wait would be over after the deadline: so it is over now, with what it failed by
    execution = ended(server, call(server, "fail", deadline=deadline, retry_policy=wait))
    assert (execution.state, execution.attempt, execution.error.message) == (STATES.STATE_FAILED, 1, "no")

    def tried() -> int:
        deadline.GetCurrentTime()
        deadline.seconds += 2
        execution = ended(server, call(server, "fail", deadline=deadline, retry_policy=retry(10, multiplier=1.5)))
        assert execution.state in (STATES.STATE_FAILED, STATES.STATE_TIMEOUT)
        return execution.attempt

    attempts = until(
        lambda: (n := tried()) > 1 and n, what="a second attempt, for which a busy machine may be too late"
    )
    assert attempts < 10


def test_a_stream_tells_each_attempt_apart(server: Server) -> None:
    name = call(server, "fail", retry_policy=retry(3, 990, multiplier=1))
    request = pb.StreamExecutionRequest(name=name)
    events = list(server.executions.StreamExecution(request, metadata=server.metadata, timeout=60))
    attempts: dict[int, str] = {}
    attempt = 0
    for event in events:
        match event.WhichOneof("event"):
            case "started":
                attempt = max(1, event.started.attempt)
            case "output" if event.output.stream == pb.OutputPiece.STREAM_STDOUT:
                attempts[attempt] = attempts.get(attempt, "") + event.output.data.decode()
    assert set(attempts) == {1, 2, 3}
    untold = {n: text for n, text in attempts.items() if not (text.startswith("tried at ") and text.count("\n") == 1)}
    assert untold == {}
    assert [event.WhichOneof("event") for event in events].count("finished") == 1
    assert events[-1].finished.attempt == 3


def test_a_package_takes_its_policies_along(server: Server) -> None:
    package = f"gone-{uuid.uuid4().hex[:8]}"
    server.deploy(package, {"main.py": SOURCE}, release=True)
    name = f"packages/{package}/functions/nap/policy"
    request = policy_service_pb2.UpdateFunctionPolicyRequest(policy=policy_pb2.FunctionPolicy(name=name, max_running=3))
    assert server.policies.UpdateFunctionPolicy(request, metadata=server.metadata).max_running == 3
    delete = package_service_pb2.DeletePackageRequest(name=f"packages/{package}")
    server.packages.DeletePackage(delete, metadata=server.metadata)
    server.deploy(package, {"main.py": SOURCE}, release=True)
    seen = server.policies.GetFunctionPolicy(
        policy_service_pb2.GetFunctionPolicyRequest(name=name), metadata=server.metadata
    )
    assert not seen.HasField("max_running")
    server.packages.DeletePackage(delete, metadata=server.metadata)
