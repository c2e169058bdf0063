"""What one client can pile up for all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import duration_pb2

from polycall.v1 import execution_pb2, execution_service_pb2, tenancy_service_pb2
from tests.harness import Server, running_server


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one slot, where three calls of a project may wait."""
    directory = Path(tmp_path_factory.mktemp("narrow"))
    settings = {"POLYCALL_SLOTS": "1", "POLYCALL_CALL_QUEUE": "3", "POLYCALL_DRAIN_GRACE_S": "0"}
    with running_server(directory, **settings) as server:
        yield server


def test_the_calls_of_a_project_that_may_wait_are_counted(narrow: Server) -> None:
    narrow.deploy("slow", {"main.py": "import time\ndef execute(seconds): time.sleep(seconds)"})
    call = execution_service_pb2.CallRequest(function="packages/slow/functions/execute", input_json='{"seconds": 60}')
    futures = [narrow.executions.Call.future(call, metadata=narrow.metadata) for _ in range(20)]
    refused = [error for future in futures if (error := future.exception()) is not None]
    accepted = [future.result().name for future in futures if future.exception() is None]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    told = "3 calls of this project wait already; this one was not accepted."
    assert all(error.details().startswith(told) for error in refused)
    assert 3 <= len(accepted) <= 4  # one may be running by now
    for name in accepted:
        narrow.executions.CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=name), metadata=narrow.metadata
        )


def test_a_project_with_a_long_queue_of_calls_does_not_hold_up_anothers_first(tmp_path: Path) -> None:
    settings = {"POLYCALL_SLOTS": "1", "POLYCALL_DRAIN_GRACE_S": "0", "POLYCALL_GATEWAY": "false"}
    with running_server(tmp_path, **settings) as server:
        scope = tenancy_service_pb2.ApiKey
        key = server.new_key(project="other", scopes=[scope.SCOPE_RUN, scope.SCOPE_READ, scope.SCOPE_DEPLOY])
        other = [("authorization", f"Bearer {key}")]
        files = {"main.py": "import time\ndef execute(seconds=0): time.sleep(seconds)"}
        server.deploy("p", files)
        server.deploy("p", files, key=key)
        function = "packages/p/functions/execute"
        slow = execution_service_pb2.CallRequest(function=function, input_json='{"seconds": 0.2}')
        for future in [server.executions.Call.future(slow, metadata=server.metadata) for _ in range(300)]:
            future.result()
        first = server.executions.Call(execution_service_pb2.CallRequest(function=function), metadata=other)
        wait = execution_service_pb2.WaitExecutionRequest(name=first.name, timeout=duration_pb2.Duration(seconds=60))
        ended = server.executions.WaitExecution(wait, metadata=other)
        assert ended.state == execution_pb2.Execution.STATE_COMPLETED
        queued = execution_service_pb2.ListExecutionsRequest(
            states=[execution_pb2.Execution.STATE_QUEUED], page_size=1000
        )
        # a minute of work is in front of it; how much was done meanwhile depends on the machine
        assert len(server.executions.ListExecutions(queued, metadata=server.metadata).executions) > 100
