"""A run that fails is a status here: there is no envelope to say it in."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from polycall.v1 import execution_pb2, execution_service_pb2
from tests.contracts.xpander.driver import Xpander
from tests.harness import until


def _failing(body: str, before: str = "") -> str:
    return f"{before}\ndef xpander_run_action():\n    {body}\n"


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (_failing("raise ValueError('bad city')"), "ValueError: bad city"),
        (_failing("raise KeyError"), "KeyError"),
        (_failing("raise Mine('é\\nx')", "class Mine(Exception): pass"), "Mine: é\nx"),
        (_failing("return 1 / 0"), "ZeroDivisionError: division by zero"),
        (_failing("import not_there"), "ModuleNotFoundError: No module named 'not_there'"),
        (_failing("return 1", "raise RuntimeError('top')"), "RuntimeError: top"),
        (_failing("return {1}"), "TypeError: Object of type set is not JSON serializable"),
        (_failing("return b'x'"), "TypeError: Object of type bytes is not JSON serializable"),
        (_failing("import sys; sys.exit(1)"), "SystemExit: 1"),
        (_failing("import sys; sys.exit()"), "SystemExit: 0"),
        (_failing("import os; os._exit(3)"), "SystemExit: 3"),
        (_failing("import ctypes; ctypes.string_at(0)"), "RuntimeError: killed by signal 11 (SIGSEGV)"),
        (_failing("return 'x' * (16 << 20)"), "ValueError: the returned value is larger than 16 MB"),
        (_failing("return len(bytearray(1 << 30))"), "MemoryError: memory limit of 256 MB exceeded"),
    ],
)
def test_a_failure_is_one_line_without_a_traceback(xpander: Xpander, source: str, detail: str) -> None:
    assert xpander.detail(xpander.deploy(source)) == (400, detail)


@pytest.mark.parametrize("value", ["float('nan')", "[float('inf')]", "cycle", "'\\ud800'", "deep"])
def test_what_json_cannot_hold_is_a_type_error(xpander: Xpander, value: str) -> None:
    before = "cycle = []\ncycle.append(cycle)\ndeep = []\nfor _ in range(100000): deep = [deep]"
    status, detail = xpander.detail(xpander.deploy(_failing(f"return {value}", before)))
    assert status == 400
    assert detail.startswith("TypeError: ")


def test_a_run_over_its_time_is_a_gateway_timeout(xpander: Xpander) -> None:
    limits = execution_pb2.Limits(timeout=Duration(seconds=1))
    function = xpander.deploy("def xpander_run_action():\n    while True: pass\n", limits=limits)
    assert xpander.detail(function) == (504, "Execution timed out after 1 seconds")


def test_a_function_has_15_seconds_and_256_mb_unless_it_says_otherwise(xpander: Xpander) -> None:
    plain = xpander.deploy("def xpander_run_action():\n    return len(bytearray(200 << 20))\n")
    own = xpander.deploy(
        "def xpander_run_action():\n    return 1\n",
        limits=execution_pb2.Limits(timeout=Duration(seconds=100), memory_mib=64),
    )
    assert xpander.call(plain) == 200 << 20
    assert xpander.call(own) == 1
    held = {function: _limits_of(xpander, function) for function in (plain, own)}
    assert held == {plain: (15, 256), own: (100, 64)}


def _limits_of(xpander: Xpander, function: str) -> tuple[int, int]:
    def recorded() -> execution_pb2.Execution | None:
        page = xpander.server.executions.ListExecutions(
            execution_service_pb2.ListExecutionsRequest(page_size=200), metadata=xpander.server.metadata
        )
        return next((each for each in page.executions if f"/{function}/" in each.function), None)

    execution = until(recorded, what="the record of the execution")
    return execution.limits.timeout.seconds, execution.limits.memory_mib


def test_what_is_printed_is_not_in_the_answer(xpander: Xpander) -> None:
    function = xpander.deploy(
        "import sys\nprint('top')\n"
        "def xpander_run_action():\n    print('x' * (21 << 20), file=sys.stderr)\n    return 1\n"
    )
    assert xpander.send(function, None).body == b"1"


def test_one_run_sees_nothing_of_another(xpander: Xpander) -> None:
    function = xpander.deploy(
        "import os, tempfile\nseen = []\n"
        "def xpander_run_action():\n    seen.append(1)\n    path = os.path.join(tempfile.gettempdir(), 'left')\n"
        "    before = os.path.exists(path)\n    open(path, 'w').close()\n    return [len(seen), before]\n"
    )
    for _ in range(6):  # more runs than children wait
        assert xpander.call(function) == [1, False]
