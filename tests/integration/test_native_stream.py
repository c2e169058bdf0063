"""StreamExecution on a real server: what is told while code runs, and what becomes of it when nobody listens."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import uuid
from functools import partial
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import duration_pb2

from polycall.errors import Code
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2, tenancy_service_pb2
from tests.harness import Server, until
from tests.integration.native import bad_fields, refusal

Execution = execution_pb2.Execution
Piece = execution_service_pb2.OutputPiece
S = 30.0
SOURCE = """
import sys, time

def talk(times: int):
    for n in range(times):
        print("out", n, flush=True)
        print("err", n, file=sys.stderr, flush=True)
        time.sleep(0.02)
    return times

def hang():
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def package(polycall: Server) -> str:
    polycall.deploy("native-stream", {"main.py": SOURCE})
    return "packages/native-stream"


def stream(server: Server, **target: Any) -> Any:
    request = execution_service_pb2.StreamExecutionRequest(**target)
    return server.executions.StreamExecution(request, metadata=server.metadata, timeout=S)


def get(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata, timeout=S)
    return answer


def call(server: Server, function: str, input_json: str = "") -> str:
    request = execution_service_pb2.CallRequest(
        function=f"packages/native-stream/functions/{function}", input_json=input_json
    )
    return str(server.executions.Call(request, metadata=server.metadata, timeout=S).name)


def wait(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.WaitExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.WaitExecution(request, metadata=server.metadata, timeout=S)
    return answer


def parts(events: list[Any]) -> tuple[Any, list[Any], Any]:
    """Return the first event, the pieces between, and the last; they must be of those kinds."""
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) <= {"output"}
    return events[0].started, [event.output for event in events[1:-1]], events[-1].finished


def text(pieces: list[Any], which: int) -> str:
    return b"".join(piece.data for piece in pieces if piece.stream == which).decode()


OUT = "".join(f"out {n}\n" for n in range(5))
ERR = "".join(f"err {n}\n" for n in range(5))


@pytest.mark.parametrize(
    "target",
    [
        {
            "run_function": execution_service_pb2.RunFunctionRequest(
                function="packages/native-stream/functions/talk", input_json='{"times": 5}'
            )
        },
        {
            "execute": execution_service_pb2.ExecuteRequest(
                code=SOURCE, entrypoint="talk", convention=execution_pb2.CONVENTION_KEYWORDS, input_json='{"times": 5}'
            )
        },
    ],
    ids=["function", "ad hoc"],
)
def test_a_run_is_started_and_followed_to_its_end(polycall: Server, target: dict[str, Any]) -> None:
    started, pieces, finished = parts(list(stream(polycall, **target)))
    assert started.state == Execution.STATE_RUNNING
    assert started.name == finished.name
    assert (finished.state, finished.output_json, finished.kind) == (
        *(Execution.STATE_COMPLETED, "5", Execution.KIND_SYNC),
    )
    assert (text(pieces, Piece.STREAM_STDOUT), text(pieces, Piece.STREAM_STDERR)) == (OUT, ERR)
    assert (finished.stdout, finished.stderr) == (OUT, ERR)
    times = [piece.time.ToMilliseconds() for piece in pieces]
    assert times == sorted(times)


def test_a_call_is_followed_by_name(polycall: Server) -> None:
    name = call(polycall, "talk", '{"times": 5}')
    started, pieces, finished = parts(list(stream(polycall, name=name)))
    assert started.name == finished.name == name
    assert (finished.state, finished.output_json) == (Execution.STATE_COMPLETED, "5")
    assert text(pieces, Piece.STREAM_STDOUT) == OUT


def test_one_that_has_ended_is_told_again(polycall: Server) -> None:
    name = call(polycall, "talk", '{"times": 5}')
    ended = wait(polycall, name)
    started, pieces, finished = parts(list(stream(polycall, name=name)))
    assert started == finished == ended
    assert (text(pieces, Piece.STREAM_STDOUT), text(pieces, Piece.STREAM_STDERR)) == (OUT, ERR)


def test_several_may_follow_one(polycall: Server) -> None:
    name = call(polycall, "talk", '{"times": 5}')
    streams = [stream(polycall, name=name) for _ in range(3)]
    for events in streams:
        _, pieces, finished = parts(list(events))
        assert text(pieces, Piece.STREAM_STDOUT) == OUT
        assert finished.output_json == "5"


def test_code_that_fails_ends_its_stream_well(polycall: Server) -> None:
    request = execution_service_pb2.ExecuteRequest(code="def execute(input):\n    print('a')\n    raise KeyError(1)")
    _, pieces, finished = parts(list(stream(polycall, execute=request)))
    assert finished.state == Execution.STATE_FAILED
    assert finished.error.type == "KeyError"
    assert text(pieces, Piece.STREAM_STDOUT) == "a\n"


def test_a_time_limit_ends_the_stream_with_what_was_written(polycall: Server) -> None:
    written = ""
    for millis in (300, 3_000, 20_000):  # a busy machine puts off that it begins
        limits = execution_pb2.Limits(timeout=duration_pb2.Duration())
        limits.timeout.FromMilliseconds(millis)
        request = execution_service_pb2.RunFunctionRequest(
            function="packages/native-stream/functions/hang", limits=limits
        )
        _, pieces, finished = parts(list(stream(polycall, run_function=request)))
        assert (finished.state, finished.error.reason) == (
            Execution.STATE_TIMEOUT,
            error_reason_pb2.ERROR_REASON_EXECUTION_TIMEOUT,
        )
        written = text(pieces, Piece.STREAM_STDOUT)
        assert written == finished.stdout
        if written:
            break
    assert written == "begun\n"


def test_leaving_a_stream_that_started_a_run_kills_it(polycall: Server) -> None:
    request = execution_service_pb2.RunFunctionRequest(function="packages/native-stream/functions/hang")
    events = stream(polycall, run_function=request)
    name = next(events).started.name
    assert next(events).output.data == b"begun\n"
    events.cancel()
    until(lambda: final(polycall, name) == Execution.STATE_CANCELLED, what="the kill")


def test_a_run_whose_output_nobody_reads_is_killed_when_the_reader_leaves(polycall: Server) -> None:
    code = "import time\ndef execute(input):\n    print('x' * 15_000_000, flush=True)\n    time.sleep(600)"
    events = stream(polycall, execute=execution_service_pb2.ExecuteRequest(code=code))
    name = next(events).started.name
    until(lambda: len(get(polycall, name).stdout) > 1_000_000, what="output")
    events.cancel()
    until(lambda: final(polycall, name) == Execution.STATE_CANCELLED, what="the kill")


WATCHED = """
import sys, time

def execute(input):
    for n in range(3):
        print("out", n, flush=True)
        print("err", n, file=sys.stderr, flush=True)
    time.sleep(600)
"""
OUT_3, ERR_3 = ("".join(f"{name} {n}\n" for n in range(3)) for name in ("out", "err"))


@pytest.mark.parametrize("verb", ["execute", "run_function"])
def test_output_is_told_in_order_while_the_code_still_runs(polycall: Server, verb: str) -> None:
    """It comes while it is written, not at the end, which there is none of."""
    if verb == "execute":
        events = stream(polycall, execute=execution_service_pb2.ExecuteRequest(code=WATCHED))
    else:
        polycall.deploy("native-watched", {"main.py": WATCHED})
        run = execution_service_pb2.RunFunctionRequest(
            function="packages/native-watched/functions/execute", input_json='{"input": 1}'
        )
        events = stream(polycall, run_function=run)
    name = next(events).started.name
    pieces: list[Any] = []
    while (text(pieces, Piece.STREAM_STDOUT), text(pieces, Piece.STREAM_STDERR)) != (OUT_3, ERR_3):
        pieces.append(next(events).output)
    running = get(polycall, name)
    assert (running.state, running.HasField("end_time")) == (Execution.STATE_RUNNING, False)
    assert (running.stdout, running.stderr) == (OUT_3, ERR_3)
    events.cancel()
    until(lambda: final(polycall, name) == Execution.STATE_CANCELLED, what="the kill")


def test_output_is_told_through_the_gateway_while_the_code_still_runs(polycall: Server) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", polycall.rest_port, timeout=S)) as connection:
        headers = {"authorization": f"Bearer {polycall.key}"}
        body = json.dumps({"execute": {"code": WATCHED}})
        connection.request("POST", "/polycall/v1/executions:stream", body=body, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        started = json.loads(answer.readline())["started"]
        outputs: list[dict[str, str]] = []
        while printed(outputs) != (OUT_3, ERR_3):
            outputs.append(json.loads(answer.readline())["output"])
        assert get(polycall, started["name"]).state == Execution.STATE_RUNNING
        assert [output["time"] for output in outputs] == sorted(output["time"] for output in outputs)
        polycall.executions.CancelExecution(
            execution_service_pb2.CancelExecutionRequest(name=started["name"]), metadata=polycall.metadata, timeout=S
        )
        (last,) = [json.loads(line) for line in answer]
    assert (last["finished"]["state"], last["finished"]["stdout"]) == ("STATE_CANCELLED", OUT_3)


def printed(outputs: list[dict[str, str]]) -> tuple[str, ...]:
    """Return what is in pieces of output as JSON, stream by stream."""
    return tuple(
        b"".join(base64.b64decode(output["data"]) for output in outputs if output["stream"] == which).decode()
        for which in ("STREAM_STDOUT", "STREAM_STDERR")
    )


def test_what_was_cut_is_said_at_the_end(polycall: Server) -> None:
    code = "import sys\ndef execute(input):\n    print('x' * 5000)\n    print('y' * 500, file=sys.stderr)\n    return 1"
    limits = execution_pb2.Limits(stdout_kib=1, stderr_kib=1)
    request = execution_service_pb2.ExecuteRequest(code=code, limits=limits)
    _, pieces, finished = parts(list(stream(polycall, execute=request)))
    assert text(pieces, Piece.STREAM_STDOUT) == finished.stdout == "x" * 1024
    assert text(pieces, Piece.STREAM_STDERR) == finished.stderr == "y" * 500 + "\n"
    assert (finished.stdout_truncated, finished.stderr_truncated, finished.output_json) == (True, False, "1")


def test_a_reader_that_is_slow_holds_neither_the_run_nor_the_servers_memory(polycall: Server) -> None:
    code = "import os\ndef execute(input):\n    for _ in range(200): os.write(1, b'x' * (1 << 20))\n    return 'done'"
    limits = execution_pb2.Limits(memory_mib=64, stdout_kib=20 << 10)
    assert polycall.process is not None
    server = psutil.Process(polycall.process.pid)
    before = server.memory_info().rss
    events = stream(polycall, execute=execution_service_pb2.ExecuteRequest(code=code, limits=limits))
    name = next(events).started.name
    until(lambda: listed(polycall, name) == Execution.STATE_COMPLETED, seconds=S, what="the end of the run")
    # of the 200 MiB 20 are kept: as they came, as a record, and on their way to store and reader
    assert server.memory_info().rss - before < 120 << 20
    pieces = [event.output for event in events if event.HasField("output")]
    assert sum(len(piece.data) for piece in pieces) == 20 << 20


def test_a_stream_ends_with_its_key_and_what_it_runs_with_it(polycall: Server) -> None:
    text = polycall.new_key()
    lent = (("authorization", f"Bearer {text}"),)
    followed = call(polycall, "talk", '{"times": 1400}')
    run = execution_service_pb2.RunFunctionRequest(
        function="packages/native-stream/functions/talk", input_json='{"times": 1400}'
    )
    streams = [
        polycall.executions.StreamExecution(
            execution_service_pb2.StreamExecutionRequest(**target), metadata=lent, timeout=S
        )
        for target in ({"run_function": run}, {"name": followed})
    ]
    started, _ = (next(events).started.name for events in streams)
    name = f"apiKeys/{text.split('_')[1]}"
    polycall.keys.RevokeApiKey(tenancy_service_pb2.RevokeApiKeyRequest(name=name), metadata=polycall.metadata)
    for events in streams:
        refused = refusal(partial(list, events))
        assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "API_KEY_INVALID")
    until(lambda: final(polycall, started) == Execution.STATE_CANCELLED, what="the kill")
    assert get(polycall, followed).state != Execution.STATE_CANCELLED
    polycall.executions.CancelExecution(
        execution_service_pb2.CancelExecutionRequest(name=followed), metadata=polycall.metadata, timeout=S
    )


def test_leaving_a_stream_that_follows_leaves_the_run_alone(polycall: Server) -> None:
    name = call(polycall, "hang")
    events = stream(polycall, name=name)
    assert next(events).started.name == name
    assert next(events).output.data == b"begun\n"
    events.cancel()
    again = stream(polycall, name=name)
    assert next(again).started.state == Execution.STATE_RUNNING
    polycall.executions.CancelExecution(
        execution_service_pb2.CancelExecutionRequest(name=name), metadata=polycall.metadata, timeout=S
    )
    last = list(again)[-1]
    assert last.finished.state == Execution.STATE_CANCELLED


def listed(server: Server, name: str) -> int | None:
    """Return the state of an execution without what it printed."""
    request = execution_service_pb2.ListExecutionsRequest(page_size=10)
    page = server.executions.ListExecutions(request, metadata=server.metadata, timeout=S)
    return next((execution.state for execution in page.executions if execution.name == name), None)


def final(server: Server, name: str) -> int | None:
    """Return the state of an execution once it is recorded as ended."""
    try:
        execution = get(server, name)
    except grpc.RpcError:
        return None
    return execution.state if execution.HasField("end_time") else None


def test_what_cannot_be_started_is_refused_before_the_first_event(polycall: Server) -> None:
    code = execution_service_pb2.ExecuteRequest(
        code="", limits=execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=1))
    )
    assert bad_fields(refusal(lambda: stream(polycall, execute=code))) == {"execute.code": "must not be empty"}
    limits = execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=99_999))
    run = execution_service_pb2.RunFunctionRequest(function="packages/native-stream/functions/talk", limits=limits)
    refused = refusal(lambda: stream(polycall, run_function=run))
    assert refused.reason == "LIMIT_OUT_OF_RANGE"
    assert bad_fields(refused) == {"run_function.limits.timeout": "must be 0.001 to 1200 s, got 99999"}
    unknown = refusal(lambda: stream(polycall, name=f"executions/{uuid.uuid4()}"))
    assert (unknown.code, unknown.reason) == (Code.NOT_FOUND, "EXECUTION_NOT_FOUND")
    assert bad_fields(refusal(lambda: stream(polycall))) == {"target": "must be set: name, execute or run_function"}
