"""ExecutionService: Execute, RunFunction, Call and what can be done to their executions, on a real server."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2

from polycall.engine.limits import PROCESSORS
from polycall.errors import Code
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2, package_pb2
from tests.harness import Server, until
from tests.integration.native import Refusal, bad_fields, refusal, refusal_if_told

Execution = execution_pb2.Execution
S = 30.0  # a bound for calls that are expected to be quick
EXACT = '{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
SOURCE = """
import os, sys, time

def echo(**members):
    return members

def add(a: int, b: int = 2) -> int:
    "Add two numbers."
    return a + b

def whole(input):
    return input

def fail(message: str):
    print("before")
    raise ValueError(message)

def sleep(seconds: float):
    print("sleeping", flush=True)
    time.sleep(seconds)
    return "slept"

def leave(code: int):
    sys.exit(code)

def count():
    global n
    n = globals().get("n", 0) + 1
    return n

def environment():
    return os.environ.get("COLOUR")

def declared(x, y):
    return [x, y]

def handle(data, function_call_info):
    return [data, function_call_info["function_id"]]
"""


@pytest.fixture(scope="module")
def package(polycall: Server) -> str:
    functions = [
        *(package_pb2.Function(name=n) for n in ("echo", "add", "fail", "sleep", "leave", "count", "environment")),
        package_pb2.Function(name="whole", convention=execution_pb2.CONVENTION_INPUT),
        package_pb2.Function(
            name="declared",
            convention=execution_pb2.CONVENTION_PARAMETERS,
            parameters=[package_pb2.Parameter(name="y"), package_pb2.Parameter(name="x")],
        ),
        package_pb2.Function(name="handle", convention=execution_pb2.CONVENTION_HANDLE),
        package_pb2.Function(name="hidden", entrypoint="main:add", private=True),
    ]
    version = polycall.deploy("native-runs", {"main.py": SOURCE}, functions=functions, env={"COLOUR": "green"})
    assert version.state == package_pb2.Version.STATE_READY, version.error
    return "packages/native-runs"


def execute(server: Server, code: str, **fields: Any) -> execution_pb2.Execution:
    request = execution_service_pb2.ExecuteRequest(code=code, **fields)
    answer: execution_pb2.Execution = server.executions.Execute(request, metadata=server.metadata, timeout=S)
    return answer


def run(server: Server, function: str, **fields: Any) -> execution_pb2.Execution:
    request = execution_service_pb2.RunFunctionRequest(function=function, **fields)
    answer: execution_pb2.Execution = server.executions.RunFunction(request, metadata=server.metadata, timeout=S)
    return answer


def call(server: Server, function: str, **fields: Any) -> execution_pb2.Execution:
    request = execution_service_pb2.CallRequest(function=function, **fields)
    answer: execution_pb2.Execution = server.executions.Call(request, metadata=server.metadata, timeout=S)
    return answer


def get(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.GetExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.GetExecution(request, metadata=server.metadata, timeout=S)
    return answer


def wait(server: Server, name: str, seconds: float = 20.0) -> execution_pb2.Execution:
    timeout = duration_pb2.Duration()
    timeout.FromMilliseconds(int(seconds * 1000))
    request = execution_service_pb2.WaitExecutionRequest(name=name, timeout=timeout)
    answer: execution_pb2.Execution = server.executions.WaitExecution(request, metadata=server.metadata, timeout=S)
    return answer


def cancel(server: Server, name: str) -> execution_pb2.Execution:
    request = execution_service_pb2.CancelExecutionRequest(name=name)
    answer: execution_pb2.Execution = server.executions.CancelExecution(request, metadata=server.metadata, timeout=S)
    return answer


def stopped(begin: Callable[[duration_pb2.Duration], execution_pb2.Execution]) -> execution_pb2.Execution:
    """Return a run that its time limit has ended once it had begun to print, which a busy machine puts off."""
    for seconds in (0.3, 3, 20):
        timeout = duration_pb2.Duration()
        timeout.FromMilliseconds(int(seconds * 1000))
        ended = begin(timeout)
        assert ended.state == Execution.STATE_TIMEOUT
        assert ended.limits.timeout == timeout
        if ended.stdout:
            break
    return ended


def recorded(server: Server, name: str) -> execution_pb2.Execution:
    """Return a synchronous execution once its record is written, which is up to 100 ms after its answer."""

    def found() -> execution_pb2.Execution | None:
        try:
            return get(server, name)
        except grpc.RpcError:
            return None

    answer: execution_pb2.Execution = until(found, what=f"the record of {name}")
    return answer


# Execute


def test_code_runs_and_all_of_its_execution_is_told(polycall: Server) -> None:
    began = time.time()
    answer = execute(
        polycall,
        "import sys\ndef execute(input):\n    print('out')\n    print('err', file=sys.stderr)\n    return input",
        input_json=EXACT,
        limits=execution_pb2.Limits(memory_mib=64),
    )
    assert answer.output_json == EXACT
    assert (answer.stdout, answer.stderr) == ("out\n", "err\n")
    assert (answer.kind, answer.state) == (Execution.KIND_SYNC, Execution.STATE_COMPLETED)
    assert (answer.language, answer.function) == (execution_pb2.LANGUAGE_PYTHON, "")
    assert (answer.exit_code, answer.HasField("signal"), answer.HasField("error")) == (0, False, False)
    assert (answer.stdout_truncated, answer.stderr_truncated) == (False, False)
    assert answer.limits == execution_pb2.Limits(
        timeout=duration_pb2.Duration(seconds=30),
        memory_mib=64,
        processes=64,
        open_files=256,
        disk_mib=64,
        result_kib=6144,
        stdout_kib=20480,
        stderr_kib=10240,
        cpu_time=duration_pb2.Duration(seconds=30 * PROCESSORS),
    )
    assert answer.start_kind in (Execution.START_KIND_FORKED, Execution.START_KIND_COLD)
    assert answer.isolation_level >= Execution.ISOLATION_LEVEL_NAMESPACED
    assert (answer.attempt, answer.max_attempts, answer.cancel_requested) == (1, 1, False)
    assert (answer.request_id, answer.input_json) == ("", "")
    times = [t.ToMilliseconds() / 1000 for t in (answer.create_time, answer.start_time, answer.end_time)]
    assert began - 1 <= times[0] <= times[1] <= times[2] <= time.time() + 1
    assert answer.usage.run_duration.ToMicroseconds() > 0
    name, _, identifier = answer.name.partition("/")
    assert (name, uuid.UUID(identifier).version) == ("executions", 7)


def test_the_record_of_an_execution_is_its_answer(polycall: Server) -> None:
    answer = execute(polycall, "def execute(input):\n    print('kept')\n    return 1")
    assert recorded(polycall, answer.name) == answer


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"code": "def execute(input): return input"}, "null"),
        ({"code": "def run(input): return input", "entrypoint": "run", "input_json": " [1, 2] "}, "[1, 2]"),
        (
            {
                "code": "def execute(a, b=2): return a + b",
                "convention": execution_pb2.CONVENTION_KEYWORDS,
                "input_json": '{"a": 1}',
            },
            "3",
        ),
        (
            {
                "code": "def handle(data): return data",
                "convention": execution_pb2.CONVENTION_HANDLE,
                "entrypoint": "handle",
                "input_json": '{"a": 1}',
            },
            '{"a": 1}',
        ),
        ({"code": "import os\ndef execute(input): return os.environ['A']", "env": {"A": "é"}}, '"é"'),
        (
            {
                "code": "def execute(input): return open('d/x.txt').read()",
                "files": [execution_service_pb2.InputFile(path="d/x.txt", contents=b"text")],
            },
            '"text"',
        ),
        ({"code": "async def execute(input): return 5"}, "5"),
    ],
)
def test_input_reaches_the_code_as_its_convention_says(polycall: Server, fields: dict[str, Any], output: str) -> None:
    answer = execute(polycall, **fields)
    assert (answer.state, answer.error.message) == (Execution.STATE_COMPLETED, "")
    assert json.loads(answer.output_json) == json.loads(output)


def test_a_script_has_arguments_standard_input_and_an_exit_code(polycall: Server) -> None:
    code = "import sys\nprint(sys.argv[1:], sys.stdin.read())\nsys.exit(int(sys.argv[1]))"
    fields = {"convention": execution_pb2.CONVENTION_SCRIPT, "stdin": b"in"}
    good = execute(polycall, code, args=["0", "é"], **fields)
    assert (good.state, good.exit_code, good.output_json) == (Execution.STATE_COMPLETED, 0, "")
    assert good.stdout == "['0', 'é'] in\n"
    bad = execute(polycall, code, args=["3"], **fields)
    assert (bad.state, bad.exit_code) == (Execution.STATE_FAILED, 3)
    assert bad.error.reason == error_reason_pb2.ERROR_REASON_USER_EXIT


def test_code_that_raises_is_an_answer_not_an_error(polycall: Server) -> None:
    answer = execute(polycall, "def execute(input):\n    print('x')\n    raise ValueError('no good')")
    assert (answer.state, answer.exit_code, answer.output_json) == (Execution.STATE_FAILED, 1, "")
    assert answer.error.reason == error_reason_pb2.ERROR_REASON_USER_EXCEPTION
    assert (answer.error.type, answer.error.module, answer.error.message) == ("ValueError", "builtins", "no good")
    assert answer.error.traceback.splitlines()[-1] == "ValueError: no good"
    assert "line 3, in execute" in answer.error.traceback
    assert answer.stdout == "x\n"
    assert answer.stderr.endswith("ValueError: no good\n")


@pytest.mark.parametrize(
    ("code", "fields", "state", "reason"),
    [
        ("def execute(input", {}, Execution.STATE_FAILED, "USER_EXCEPTION"),
        ("x = 1", {}, Execution.STATE_FAILED, "ENTRYPOINT_NOT_FOUND"),
        ("def execute(input): return {1, 2}", {}, Execution.STATE_FAILED, "OUTPUT_NOT_SERIALIZABLE"),
        ("def execute(input): return float('nan')", {}, Execution.STATE_FAILED, "OUTPUT_NOT_SERIALIZABLE"),
        ("import os\ndef execute(input): os._exit(7)", {}, Execution.STATE_FAILED, "USER_EXIT"),
        ("import ctypes\ndef execute(input): ctypes.string_at(0)", {}, Execution.STATE_FAILED, "KILLED_BY_SIGNAL"),
        (
            "def execute(input): return 'x' * 2048",
            {"limits": execution_pb2.Limits(result_kib=1)},
            Execution.STATE_FAILED,
            "RESULT_TOO_LARGE",
        ),
        (
            "def execute(input):\n    while True: pass",
            {"limits": execution_pb2.Limits(timeout=duration_pb2.Duration(nanos=300_000_000))},
            Execution.STATE_TIMEOUT,
            "EXECUTION_TIMEOUT",
        ),
        (
            "def execute(input): return len(bytearray(200 << 20))",
            {"limits": execution_pb2.Limits(memory_mib=32)},
            Execution.STATE_FAILED,
            "OUT_OF_MEMORY",
        ),
    ],
)
def test_code_that_fails_says_why(polycall: Server, code: str, fields: dict[str, Any], state: int, reason: str) -> None:
    answer = execute(polycall, code, **fields)
    assert (answer.state, error_reason_pb2.ErrorReason.Name(answer.error.reason)) == (
        state,
        f"ERROR_REASON_{reason}",
    )
    assert answer.output_json == ""


def test_output_beyond_its_limit_is_cut_and_said_to_be(polycall: Server) -> None:
    code = "def execute(input):\n    print('é' * 3000)\n    return 1"
    answer = execute(polycall, code, limits=execution_pb2.Limits(stdout_kib=1))
    assert (answer.state, answer.stdout_truncated, answer.stderr_truncated) == (Execution.STATE_COMPLETED, True, False)
    assert answer.stdout == "é" * 512


def test_bytes_that_are_not_utf_8_are_replaced(polycall: Server) -> None:
    answer = execute(polycall, "import os\ndef execute(input): os.write(1, b'a\\xffb')")
    assert answer.stdout == "a\ufffdb"


# RunFunction


@pytest.mark.parametrize(
    ("function", "input_json", "output"),
    [
        ("add", '{"a": 1}', 3),
        ("whole", "[null]", [None]),
        ("declared", '{"x": 1, "y": 2}', [2, 1]),
        ("handle", '{"k": 1}', [{"k": 1}, "native-runs"]),
        ("environment", "{}", "green"),
    ],
)
def test_a_function_runs_by_its_convention(
    polycall: Server, package: str, function: str, input_json: str, output: Any
) -> None:
    answer = run(polycall, f"{package}/versions/1/functions/{function}", input_json=input_json)
    assert answer.error.message == ""
    assert json.loads(answer.output_json) == output
    assert answer.function == f"{package}/versions/1/functions/{function}"


def test_json_comes_back_byte_for_byte(polycall: Server, package: str) -> None:
    for function in ("whole", "echo"):
        assert run(polycall, f"{package}/functions/{function}", input_json=EXACT).output_json == EXACT


@pytest.mark.parametrize("middle", ["", "/versions/-", "/versions/1"])
def test_the_version_may_be_left_out(polycall: Server, package: str, middle: str) -> None:
    answer = run(polycall, f"{package}{middle}/functions/add", input_json='{"a": 40}')
    assert (answer.output_json, answer.function) == ("42", f"{package}/versions/1/functions/add")


def test_runs_of_a_version_share_a_warm_process(polycall: Server, package: str) -> None:
    answers = [run(polycall, f"{package}/functions/count") for _ in range(4)]
    assert answers[-1].start_kind == Execution.START_KIND_WARM
    assert int(answers[-1].output_json) > 1


def test_a_version_that_asks_for_it_gets_a_fresh_process_every_time(polycall: Server) -> None:
    polycall.deploy("native-fresh", {"main.py": SOURCE}, fresh_process=True)
    answers = [run(polycall, "packages/native-fresh/functions/count") for _ in range(3)]
    assert [answer.output_json for answer in answers] == ["1", "1", "1"]
    assert Execution.START_KIND_WARM not in {answer.start_kind for answer in answers}


def test_a_function_that_raises_is_an_answer(polycall: Server, package: str) -> None:
    answer = run(polycall, f"{package}/functions/fail", input_json='{"message": "no"}')
    assert (answer.state, answer.error.type, answer.error.message) == (Execution.STATE_FAILED, "ValueError", "no")
    assert answer.stdout == "before\n"
    assert "main.py" in answer.error.traceback
    assert "polycall" not in answer.error.traceback


def test_limits_of_a_request_hold_for_it(polycall: Server, package: str) -> None:
    def begin(timeout: duration_pb2.Duration) -> execution_pb2.Execution:
        limits = execution_pb2.Limits(timeout=timeout)
        return run(polycall, f"{package}/functions/sleep", input_json='{"seconds": 60}', limits=limits)

    answer = stopped(begin)
    assert answer.error.reason == error_reason_pb2.ERROR_REASON_EXECUTION_TIMEOUT
    assert answer.stdout == "sleeping\n"


# Call, Wait, Get, Cancel


def test_a_call_is_answered_at_once_and_followed_to_its_end(polycall: Server, package: str) -> None:
    accepted = call(polycall, f"{package}/functions/add", input_json='{"a": 1, "b": 1.50}')
    assert accepted.kind == Execution.KIND_CALL
    assert accepted.state in (Execution.STATE_QUEUED, Execution.STATE_RUNNING)
    assert (accepted.attempt, accepted.max_attempts) == (0, 3)
    ended = wait(polycall, accepted.name)
    assert (ended.name, ended.state, ended.output_json) == (accepted.name, Execution.STATE_COMPLETED, "2.5")
    assert (ended.input_json, ended.attempt) == ('{"a": 1, "b": 1.50}', 1)
    assert get(polycall, accepted.name) == ended


def test_a_wait_that_is_too_short_returns_what_there_is(polycall: Server, package: str) -> None:
    accepted = call(polycall, f"{package}/functions/sleep", input_json='{"seconds": 60}')
    until(lambda: get(polycall, accepted.name).state == Execution.STATE_RUNNING, what="running")
    begun = time.monotonic()
    assert wait(polycall, accepted.name, 0.2).state == Execution.STATE_RUNNING
    assert time.monotonic() - begun >= 0.2
    request = execution_service_pb2.WaitExecutionRequest(name=accepted.name)

    def told() -> execution_pb2.Execution | None:
        # the answer leaves shortly before the deadline; on a busy machine the client's own timer may still be first
        future = polycall.executions.WaitExecution.future(request, metadata=polycall.metadata, timeout=1.0)
        return future.result() if future.exception() is None else None

    assert until(told, seconds=15, what="an answer before the RPC's own deadline").state == Execution.STATE_RUNNING
    cancelled = cancel(polycall, accepted.name)
    assert cancelled.state == Execution.STATE_CANCELLED
    assert cancelled.error.reason == error_reason_pb2.ERROR_REASON_EXECUTION_CANCELLED
    kept = get(polycall, accepted.name)
    assert (kept.state, kept.cancel_requested) == (Execution.STATE_CANCELLED, True)


def test_an_execution_that_has_ended_cannot_be_cancelled_any_more(polycall: Server, package: str) -> None:
    ended = wait(polycall, call(polycall, f"{package}/functions/add", input_json='{"a": 1}').name)
    assert cancel(polycall, ended.name) == ended


def test_a_call_stops_at_its_deadline(polycall: Server, package: str) -> None:
    deadline = timestamp_pb2.Timestamp()
    deadline.FromMilliseconds(int(time.time() * 1000) + 1_500)
    accepted = call(polycall, f"{package}/functions/sleep", input_json='{"seconds": 60}', deadline=deadline)
    assert wait(polycall, accepted.name).state == Execution.STATE_TIMEOUT


def test_a_calls_attempts_are_kept(polycall: Server, package: str) -> None:
    assert call(polycall, f"{package}/functions/add", input_json='{"a": 1}', max_attempts=7).max_attempts == 7


def test_a_running_execution_shows_its_output_so_far(polycall: Server, package: str) -> None:
    accepted = call(polycall, f"{package}/functions/sleep", input_json='{"seconds": 60}')
    until(lambda: get(polycall, accepted.name).stdout == "sleeping\n", what="output")
    cancel(polycall, accepted.name)


# request ids and checks without a run


def test_a_repeated_request_id_returns_the_first_execution(polycall: Server, package: str) -> None:
    request_id = str(uuid.uuid4())
    first = execute(polycall, "import os\ndef execute(input): return os.urandom(8).hex()", request_id=request_id)
    assert first.request_id == request_id
    until(lambda: recorded(polycall, first.name))
    again = execute(polycall, "def execute(input): return 'another'", request_id=request_id.upper())
    assert (again.name, again.output_json) == (first.name, first.output_json)


def test_repeats_at_the_same_time_run_once(polycall: Server, package: str) -> None:
    request_id = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: run(
                    polycall, f"{package}/functions/sleep", input_json='{"seconds": 0.3}', request_id=request_id
                ),
                range(8),
            )
        )
    assert len({answer.name for answer in answers}) == 1
    assert {answer.output_json for answer in answers} == {'"slept"'}


def test_a_repeated_call_is_accepted_once(polycall: Server, package: str) -> None:
    request_id = str(uuid.uuid4())
    names = {
        call(polycall, f"{package}/functions/add", input_json='{"a": 1}', request_id=request_id).name for _ in range(3)
    }
    assert len(names) == 1


def test_checking_runs_nothing(polycall: Server, package: str) -> None:
    checked = (
        execute(polycall, "def execute(input): return 1", validate_only=True),
        run(polycall, f"{package}/functions/add", validate_only=True),
        call(polycall, f"{package}/functions/add", validate_only=True),
    )
    for answer in checked:
        assert (answer.name, answer.state, answer.output_json) == ("", Execution.STATE_QUEUED, "")
        assert answer.limits.memory_mib == 128
    wrong = refusal(lambda: execute(polycall, "", validate_only=True))
    assert bad_fields(wrong) == {"code": "must not be empty"}


# deadlines and clients that leave


def test_a_run_is_stopped_at_the_rpcs_deadline_and_recorded(polycall: Server, package: str) -> None:
    function = f"{package}/functions/sleep"
    request = execution_service_pb2.RunFunctionRequest(function=function, input_json='{"seconds": 60}')

    def ended() -> set[str]:
        states = [Execution.STATE_TIMEOUT, Execution.STATE_CANCELLED]
        found = listed(polycall, parent=function, states=states)
        return {e.name for e in found if e.kind == Execution.KIND_SYNC}

    def output() -> str:
        """Let a deadline end a run; return what the record of it has."""
        before = ended()
        with pytest.raises(grpc.RpcError) as caught:
            polycall.executions.RunFunction(request, metadata=polycall.metadata, timeout=0.7)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        (name,) = until(lambda: ended() - before, what="the record of the stopped run")
        return str(get(polycall, name).stdout)

    # on a busy machine a deadline may be over before anything is printed
    assert until(output, what="a run that was stopped while it slept") == "sleeping\n"


def test_a_deadline_says_in_which_phase_it_passed(polycall: Server) -> None:
    request = execution_service_pb2.ExecuteRequest(code="import time\ndef execute(input): time.sleep(60)")

    def told() -> Refusal | None:
        # the answer leaves shortly before the deadline; on a busy machine the client's own timer may still be first,
        # or the deadline be over before there is a process
        answer = refusal_if_told(lambda: polycall.executions.Execute(request, metadata=polycall.metadata, timeout=0.5))
        assert answer is None or answer.code == Code.DEADLINE_EXCEEDED
        return answer if answer is not None and answer.metadata["phase"] == "run" else None

    refused: Refusal = until(told, what="an answer before the deadline")
    assert refused.reason == "EXECUTION_TIMEOUT"
    assert refused.details == {}
    assert refused.metadata["phase"] == "run"
    assert recorded(polycall, refused.metadata["execution"]).state == Execution.STATE_TIMEOUT


def test_a_client_that_leaves_has_its_run_killed_and_recorded(polycall: Server, package: str) -> None:
    marker = uuid.uuid4().hex
    code = f"import time\ndef execute(input):\n    print('{marker}', flush=True)\n    time.sleep(600)"
    request = execution_service_pb2.ExecuteRequest(code=code)
    since = timestamp_pb2.Timestamp()
    since.FromMilliseconds(int(time.time() * 1000))  # as executions count: a run of this millisecond is not before it
    future = polycall.executions.Execute.future(request, metadata=polycall.metadata)

    def mine(state: int) -> list[execution_pb2.Execution]:
        return [
            get(polycall, e.name) for e in listed(polycall, states=[state], created_after=since) if e.function == ""
        ]

    until(lambda: [e for e in mine(Execution.STATE_RUNNING) if marker in e.stdout], what="running")
    assert future.cancel()
    (killed,) = until(lambda: [e for e in mine(Execution.STATE_CANCELLED) if marker in e.stdout], what="cancelled")
    assert killed.error.reason in (
        error_reason_pb2.ERROR_REASON_CANCELLED_BY_CLIENT,
        error_reason_pb2.ERROR_REASON_EXECUTION_CANCELLED,
    )
    assert killed.HasField("end_time")


# lists


def listed(server: Server, **fields: Any) -> list[execution_pb2.Execution]:
    request = execution_service_pb2.ListExecutionsRequest(page_size=1000, **fields)
    answer = server.executions.ListExecutions(request, metadata=server.metadata, timeout=S)
    return list(answer.executions)


@pytest.fixture(scope="module")
def some(polycall: Server) -> list[execution_pb2.Execution]:
    """Seven calls of two functions of a package of their own, oldest first."""
    polycall.deploy("native-list", {"main.py": "def good(): return 1\ndef bad(): raise ValueError"}, version="v1")
    names = ["good", "bad", "good", "good", "bad", "good", "good"]
    accepted = []
    for name in names:
        accepted.append(call(polycall, f"packages/native-list/functions/{name}"))
        time.sleep(0.002)  # those of one millisecond have no order
    return [wait(polycall, execution.name) for execution in accepted]


def test_lists_are_newest_first_and_show_no_payloads(polycall: Server, some: list[execution_pb2.Execution]) -> None:
    found = listed(polycall, parent="packages/native-list")
    assert [e.name for e in found] == [e.name for e in reversed(some)]
    assert {(e.output_json, e.input_json, e.stdout, e.stderr) for e in found} == {("", "", "", "")}


def test_lists_come_in_pages(polycall: Server, some: list[execution_pb2.Execution]) -> None:
    names, sizes, token = [], [], ""
    while True:
        request = execution_service_pb2.ListExecutionsRequest(
            parent="packages/native-list", page_size=3, page_token=token
        )
        page = polycall.executions.ListExecutions(request, metadata=polycall.metadata, timeout=S)
        names += [e.name for e in page.executions]
        sizes.append(len(page.executions))
        token = page.next_page_token
        if not token:
            break
    assert names == [e.name for e in reversed(some)]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    ("fields", "indices"),
    [
        ({"parent": "packages/native-list/functions/bad"}, [4, 1]),
        ({"parent": "packages/native-list/versions/v1/functions/bad"}, [4, 1]),
        ({"parent": "packages/native-list/versions/v1", "states": [Execution.STATE_FAILED]}, [4, 1]),
        ({"parent": "packages/native-list", "states": [Execution.STATE_QUEUED, Execution.STATE_TIMEOUT]}, []),
        ({"parent": "packages/native-list/versions/other"}, []),
        ({"parent": "packages/native-nothing"}, []),
    ],
)
def test_lists_are_filtered(
    polycall: Server, some: list[execution_pb2.Execution], fields: dict[str, Any], indices: list[int]
) -> None:
    assert [e.name for e in listed(polycall, **fields)] == [some[index].name for index in indices]


def test_lists_are_bounded_by_time(polycall: Server, some: list[execution_pb2.Execution]) -> None:
    middle = some[3].create_time
    later = listed(polycall, parent="packages/native-list", created_after=middle)
    earlier = listed(polycall, parent="packages/native-list", created_before=middle)
    assert {e.name for e in later} | {e.name for e in earlier} == {e.name for e in some}
    assert {e.name for e in later} & {e.name for e in earlier} == set()
    assert some[3].name in {e.name for e in later}


def test_a_token_that_is_not_ours_is_refused(polycall: Server) -> None:
    request = execution_service_pb2.ListExecutionsRequest(page_token="not a token")
    refused = refusal(lambda: polycall.executions.ListExecutions(request, metadata=polycall.metadata))
    assert list(bad_fields(refused)) == ["page_token"]


def test_many_at_once_get_each_its_own_answer(polycall: Server, package: str) -> None:
    def one(n: int) -> bool:
        if n % 3 == 0:
            return execute(polycall, "def execute(input): return input", input_json=str(n)).output_json == str(n)
        return run(polycall, f"{package}/functions/whole", input_json=f'"{n}"').output_json == f'"{n}"'

    barrier = threading.Barrier(8)

    def several(thread: int) -> bool:
        barrier.wait(10)
        return all(one(thread * 100 + index) for index in range(15))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(several, range(8))) == [True] * 8
