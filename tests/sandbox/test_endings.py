"""How a run ended: what the code did, and what the outcome says of it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from polycall.domain import Reason, StartKind
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import MIB, job, limits, script, value

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.levels(3, 2, 1, 0)]


async def test_a_value_that_is_returned_comes_back(run: Run) -> None:
    outcome = await run("def execute(input): return input['a'] + 1", {"a": 1})
    assert (outcome.ending, outcome.value, outcome.exit_code, outcome.error) == (Ending.RETURNED, b"2", 0, None)
    assert outcome.signal is None


async def test_an_outcome_says_how_it_was_isolated_and_what_it_took(sandbox: Sandbox, run: Run) -> None:
    outcome = await run("def execute(input): return sum(range(300_000))")
    assert outcome.isolation == sandbox.isolation
    assert outcome.start_kind in (StartKind.FORKED, StartKind.COLD)
    assert outcome.usage.run_us > 1000
    assert outcome.usage.cpu_us is not None
    assert outcome.usage.cpu_us > 1000
    if sandbox.isolation == 3:
        assert outcome.usage.peak_memory_bytes is not None
        assert 0 < outcome.usage.peak_memory_bytes < 64 * MIB


async def test_an_exception_is_told_with_the_users_frames_only(run: Run) -> None:
    outcome = await run(
        "def helper():\n    raise ValueError('no such fruit')\n\ndef execute(input):\n    return helper()\n"
    )
    assert outcome.ending is Ending.RAISED
    assert outcome.exit_code == 1
    assert outcome.error is not None
    assert outcome.error.reason is Reason.USER_EXCEPTION
    assert (outcome.error.type, outcome.error.module, outcome.error.message) == (
        "ValueError",
        "builtins",
        "no such fruit",
    )
    assert outcome.error.traceback == (
        "Traceback (most recent call last):\n"
        '  File "main.py", line 5, in execute\n'
        "    return helper()\n"
        "           ^^^^^^^^\n"
        '  File "main.py", line 2, in helper\n'
        "    raise ValueError('no such fruit')\n"
        "ValueError: no such fruit\n"
    )
    assert outcome.stderr.decode() == outcome.error.traceback


async def test_frames_of_libraries_are_left_out(run: Run) -> None:
    outcome = await run("import json\ndef execute(input):\n    return json.loads('{')\n")
    assert outcome.error is not None
    assert outcome.error.type == "JSONDecodeError"
    assert outcome.error.module == "json.decoder"
    assert outcome.error.traceback.count("File ") == 1


async def test_a_syntax_error_names_the_line_of_the_submitted_code(run: Run) -> None:
    outcome = await run("def execute(input):\n    return (\n")
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert outcome.error.type == "SyntaxError"
    assert '  File "main.py", line 2\n' in outcome.error.traceback
    assert outcome.stderr.decode() == outcome.error.traceback


async def test_an_exception_at_import_is_an_exception(run: Run) -> None:
    outcome = await run("import nothing_like_that\ndef execute(input): return 1")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.USER_EXCEPTION
    assert outcome.error.message == "No module named 'nothing_like_that'"


async def test_a_chain_of_exceptions_is_told_whole(run: Run) -> None:
    outcome = await run("""
        def execute(input):
            try:
                {}['a']
            except KeyError as error:
                raise RuntimeError('outer') from error
    """)
    assert outcome.error is not None
    assert "KeyError: 'a'" in outcome.error.traceback
    assert "direct cause" in outcome.error.traceback
    assert outcome.error.traceback.endswith("RuntimeError: outer\n")


async def test_a_missing_entrypoint_is_named(run: Run) -> None:
    outcome = await run("def other(input): return 1")
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENTRYPOINT_NOT_FOUND
    assert (outcome.error.type, outcome.error.message) == ("NameError", "execute is not defined")
    assert outcome.stderr == b"NameError: execute is not defined\n"


async def test_a_missing_module_is_named(run: Run) -> None:
    outcome = await run("", entrypoint="handler:handle")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENTRYPOINT_NOT_FOUND
    assert (outcome.error.type, outcome.error.message) == ("ModuleNotFoundError", "No module named 'handler'")


async def test_an_entrypoint_that_is_no_function_is_named(run: Run) -> None:
    outcome = await run("execute = 3")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENTRYPOINT_NOT_FOUND
    assert outcome.error.message == "execute is not a function, it is a int"


@pytest.mark.parametrize("call", ["sys.exit(7)", "os._exit(7)", "exit(7)", "raise SystemExit(7)"])
async def test_leaving_gives_the_exit_code(run: Run, call: str) -> None:
    outcome = await run(f"import os, sys\nprint('before')\ndef execute(input):\n    {call}\n")
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 7)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.USER_EXIT
    assert outcome.stdout == b"before\n"


async def test_leaving_with_a_text_prints_it(run: Run) -> None:
    outcome = await run("import sys\ndef execute(input): sys.exit('nothing to do')")
    assert (outcome.ending, outcome.exit_code, outcome.stderr) == (Ending.EXITED, 1, b"nothing to do\n")


async def test_leaving_with_zero_is_not_a_result(run: Run) -> None:
    outcome = await run("import sys\ndef execute(input): sys.exit()")
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 0)


async def test_a_crash_gives_the_signal(run: Run) -> None:
    outcome = await run("import ctypes\ndef execute(input): ctypes.string_at(0)")
    assert (outcome.ending, outcome.signal, outcome.exit_code) == (Ending.SIGNALLED, signal.SIGSEGV, 139)
    assert outcome.error is not None
    assert outcome.error.message == "Killed by signal 11 (SIGSEGV)."


async def test_abort_is_a_signal(run: Run) -> None:
    outcome = await run("import os\ndef execute(input): os.abort()")
    assert outcome.ending is Ending.SIGNALLED
    # as PID 1 of its namespace a process does not die of its own SIGABRT; the trap behind it is a fault
    assert outcome.signal in (signal.SIGABRT, signal.SIGSEGV)


async def test_time_is_limited(run: Run) -> None:
    code = "print('partial')\nimport time\ndef execute(input):\n    time.sleep(600)"
    for timeout_ms, words in ((300, "0.3 s"), (3_000, "3 s"), (20_000, "20 s")):
        outcome = await run(code, limits=limits(timeout_ms=timeout_ms))
        assert (outcome.ending, outcome.exit_code, outcome.signal) == (Ending.TIMED_OUT, 137, 9)
        assert outcome.error is not None
        assert outcome.error.reason is Reason.EXECUTION_TIMEOUT
        assert outcome.error.message == f"Execution timed out after {words} (its timeout)."
        assert outcome.usage.run_us >= timeout_ms * 1000
        if outcome.stdout:  # a busy machine puts off that it begins
            break
    assert outcome.stdout == b"partial\n"


async def test_a_loop_that_never_yields_is_ended_too(run: Run) -> None:
    outcome = await run("def execute(input):\n    while True: pass", limits=limits(timeout_ms=600))
    assert outcome.ending is Ending.TIMED_OUT
    assert outcome.usage.cpu_us is not None
    assert outcome.usage.cpu_us > 20_000


async def test_memory_is_limited(run: Run) -> None:
    outcome = await run("def execute(input): return len(bytearray(500 << 20))")
    assert outcome.ending is Ending.OUT_OF_MEMORY
    assert outcome.error is not None
    assert outcome.error.reason is Reason.OUT_OF_MEMORY
    assert outcome.error.message == "Killed: out of memory (its limit is 64 MiB)."


async def test_memory_below_the_limit_is_had(run: Run) -> None:
    code = """
        def execute(input):
            data = bytearray(input << 20)
            data[::4096] = b'x' * len(data[::4096])
            return len(data)
    """
    assert value(await run(code, 40)) == 40 * MIB


@pytest.mark.parametrize(
    "grow",
    ["held.append('x' * 100 + str(len(held)))", "held.append(bytearray(1 << 20))", "held.append([held])"],
    ids=["small", "large", "lists"],
)
async def test_running_into_the_limit_bit_by_bit_is_told(run: Run, grow: str) -> None:
    code = f"def execute(input):\n    held = []\n    while True:\n        {grow}"
    outcome = await run(code, limits=limits(memory_bytes=24 * MIB))
    assert outcome.ending is Ending.OUT_OF_MEMORY
    assert outcome.error is not None
    assert outcome.error.message == "Killed: out of memory (its limit is 24 MiB)."


async def test_an_exception_may_be_caught_where_memory_is_short(run: Run) -> None:
    outcome = await run("""
        def execute(input):
            try:
                bytearray(500 << 20)
            except MemoryError:
                return 'went without'
    """)
    assert value(outcome) == "went without"


async def test_cancelling_ends_the_process_first(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.run(job("import time\ndef execute(input): time.sleep(60)")))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert value(await sandbox.run(job("def execute(input): return 1"))) == 1


async def test_a_script_ends_with_its_exit_code(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(script("print('done')"))
    assert (outcome.ending, outcome.exit_code, outcome.error, outcome.stdout) == (Ending.EXITED, 0, None, b"done\n")
    outcome = await sandbox.run(script("import sys\nsys.exit(3)"))
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 3)


async def test_a_script_that_raises_exits_with_one_and_its_traceback(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(script("1 / 0\n"))
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 1)
    assert outcome.stderr == (
        b'Traceback (most recent call last):\n  File "main.py", line 1, in <module>\n    1 / 0\n    ~~^~~\n'
        b"ZeroDivisionError: division by zero\n"
    )


async def test_a_script_out_of_memory_is_told(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(script("bytearray(500 << 20)"))
    assert outcome.ending is Ending.OUT_OF_MEMORY


async def test_a_script_waits_for_its_threads_and_calls_what_was_registered(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(
        script("""
            import atexit, threading, time
            atexit.register(print, 'registered')
            threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
            print('main')
        """)
    )
    assert outcome.stdout == b"main\nthread\nregistered\n"


async def test_a_missing_script_is_named(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(script("", entrypoint="other.py"))
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 1)
    assert outcome.stderr == b"FileNotFoundError: No file named 'other.py'\n"
