"""Queue, deadlines in the queue, and the end of a server: on servers of their own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from polycall.errors import Code
from polycall.v1 import execution_pb2, execution_service_pb2
from tests.harness import Server, running_server, until
from tests.integration.native import refusal, refusal_if_told

S = 60.0
HANG = execution_service_pb2.ExecuteRequest(code="import time\ndef execute(input):\n    time.sleep(600)")
QUICK = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1")


# One run at once, one that may wait, no gateway.
NARROW = {
    "POLYCALL_SLOTS": "1",
    "POLYCALL_QUEUE": "1",
    "POLYCALL_GATEWAY": "false",
    "POLYCALL_DRAIN_GRACE_S": "0.5",
}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("narrow"), **NARROW) as server:
        yield server


def execute(server: Server, request: Any, timeout: float = S) -> Any:
    return server.executions.Execute(request, metadata=server.metadata, timeout=timeout)


def running(server: Server) -> Any:
    """Start a run that hangs; return its call once it runs."""
    events = server.executions.StreamExecution(
        execution_service_pb2.StreamExecutionRequest(execute=HANG), metadata=server.metadata
    )
    assert next(events).WhichOneof("event") == "started"
    return events


def test_a_full_queue_says_when_to_come_back_before_anything_ran(narrow: Server) -> None:
    holding = running(narrow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(execute, narrow, QUICK)
        until(lambda: narrow.pool().queued == 1, what="a full queue")
        full = refusal(lambda: execute(narrow, QUICK))
        holding.cancel()
        assert waiting.result(S).output_json == "1"
    assert (full.code, full.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert set(full.details) == {"QuotaFailure", "RetryInfo"}
    delay = full.details["RetryInfo"].retry_delay
    assert delay.ToMilliseconds() > 0
    assert execute(narrow, QUICK).output_json == "1"


def test_a_deadline_that_passes_in_the_queue_says_so(narrow: Server) -> None:
    holding = running(narrow)
    refused = until(
        # the answer leaves shortly before the deadline; on a busy machine the client's own timer may still be first
        lambda: refusal_if_told(lambda: execute(narrow, QUICK, timeout=0.5)),
        what="an answer before the deadline",
    )
    assert (refused.code, refused.reason) == (Code.DEADLINE_EXCEEDED, "QUEUE_TIMEOUT")
    assert refused.metadata["phase"] == "queue"
    assert refused.details == {}
    holding.cancel()
    assert execute(narrow, QUICK).output_json == "1"


def test_a_call_waits_for_its_slot_and_is_not_refused(narrow: Server) -> None:
    narrow.deploy("later", {"main.py": "def f(): return 'done'"})
    holding = running(narrow)
    request = execution_service_pb2.CallRequest(function="packages/later/functions/f")
    names = [narrow.executions.Call(request, metadata=narrow.metadata, timeout=S).name for _ in range(5)]
    holding.cancel()
    for name in names:
        wait = execution_service_pb2.WaitExecutionRequest(name=name)
        answer = narrow.executions.WaitExecution(wait, metadata=narrow.metadata, timeout=S)
        assert (answer.state, answer.output_json) == (execution_pb2.Execution.STATE_COMPLETED, '"done"')


def test_a_server_that_stops_refuses_first_and_records_what_it_kills(tmp_path: Path) -> None:
    patient = {**NARROW, "POLYCALL_DRAIN_GRACE_S": "60"}
    with running_server(tmp_path, **patient) as server, grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        holding = running(server)
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        refused = refusal(lambda: execute(server, QUICK))
        assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "DRAINING")
        assert set(refused.details) == {"RetryInfo"}
        server.process.send_signal(signal.SIGTERM)  # the second one ends the grace
        events = list(holding)
        assert events[-1].finished.state == execution_pb2.Execution.STATE_FAILED
        assert "shut down" in events[-1].finished.error.message
