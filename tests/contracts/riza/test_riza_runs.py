"""How a run ended, as the contract shows it: always HTTP 200."""

from __future__ import annotations

import pytest

from tests.contracts.riza.driver import Riza

_MIB = 1 << 20


def test_what_is_printed_and_what_is_returned_are_apart(riza: Riza) -> None:
    result = riza.run(
        "import sys\nprint('top')\n"
        "def execute(input):\n    print('in')\n    print('err', file=sys.stderr)\n    return 'out'"
    )
    assert (result.output, result.ending) == ("out", ("valid", 0))
    assert (result.stdout, result.stderr) == ("top\nin\n", "err\n")


def test_returning_nothing_is_valid(riza: Riza) -> None:
    result = riza.run("def execute(input): pass")
    assert (result.output, result.ending, result.stderr) == (None, ("valid", 0), "")


def test_a_coroutine_is_awaited(riza: Riza) -> None:
    code = "import asyncio\nasync def execute(input):\n    await asyncio.sleep(0)\n    return input['a']"
    assert riza.run(code, input={"a": 1}).output == 1


def test_pythons_own_encoder_decides(riza: Riza) -> None:
    code = "def execute(input): return {1: (1, 2), None: True, 2.5: [None], False: 'é'}"
    assert riza.run(code).output == {"1": [1, 2], "null": True, "2.5": [None], "false": "é"}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("{1, 2}", "set"),
        ("b'x'", "bytes"),
        ("object()", "object"),
        ("[1, {'a': 3j}]", "complex"),
        ("float('nan')", "float"),
        ("[float('inf')]", "float"),
        ("{(1, 2): 3}", "tuple"),
        ("lambda: 1", "function"),
        ("Mine()", "Mine"),
    ],
)
def test_what_json_cannot_hold_is_told_by_its_type(riza: Riza, value: str, named: str) -> None:
    result = riza.run(f"class Mine: pass\ndef execute(input):\n    print('so far')\n    return {value}")
    assert result.ending == ("json_serialization_error", 0)
    assert result.stdout == "so far\n"
    assert result.stderr.count("\n") == 1
    assert named in result.stderr


@pytest.mark.parametrize(
    "value", ["cycle", "deep", "'\\ud800'", "10 ** 5000"], ids=["cycle", "deep", "surrogate", "digits"]
)
def test_other_values_that_are_no_json_are_told_in_one_line(riza: Riza, value: str) -> None:
    code = (
        "cycle = []\ncycle.append(cycle)\ndeep = []\nfor _ in range(100000): deep = [deep]\n"
        f"def execute(input): return {value}"
    )
    result = riza.run(code)
    assert result.ending == ("json_serialization_error", 0)
    assert result.stderr.count("\n") == 1


def test_an_exception_shows_its_traceback_of_the_callers_own_lines(riza: Riza) -> None:
    result = riza.run("def helper():\n    raise ValueError('bad city')\n\ndef execute(input):\n    helper()\n")
    assert result.ending == ("error", 1)
    assert result.stderr == (
        "Traceback (most recent call last):\n"
        '  File "main.py", line 5, in execute\n'
        "    helper()\n"
        '  File "main.py", line 2, in helper\n'
        "    raise ValueError('bad city')\n"
        "ValueError: bad city\n"
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def execute(input)\n    return 1", "SyntaxError: expected ':'"),
        ("import not_there\ndef execute(input): return 1", "ModuleNotFoundError: No module named 'not_there'"),
        ("def run(input): return 1", "execute is not defined"),
        ("execute = 5", "TypeError: execute is not a function, it is a int"),
        ("def execute(): return 1", "TypeError: execute() takes 0 positional arguments but 1 was given"),
        ("def execute(a, b): return 1", "TypeError: execute() missing 1 required positional argument: 'b'"),
        ("raise RuntimeError('top')\ndef execute(input): return 1", "RuntimeError: top"),
        ("def execute(input): return execute(input)", "RecursionError: maximum recursion depth exceeded"),
        ("def execute(input): return 1\n\0", "SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_code_that_cannot_be_called_is_a_failed_run(riza: Riza, code: str, told: str) -> None:
    result = riza.run(code)
    assert result.ending == ("error", 1)
    assert told in result.last_line


@pytest.mark.parametrize(
    ("leave", "exit_code"),
    [("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('why')", 1), ("os._exit(7)", 7), ("sys.exit(256 + 5)", 5)],
)
def test_leaving_shows_the_codes_own_exit_code(riza: Riza, leave: str, exit_code: int) -> None:
    result = riza.run(
        f"import os, sys\ndef execute(input):\n    print('so far', flush=True)\n    {leave}\n    return 1"
    )
    assert result.ending == ("error", exit_code)
    assert result.stdout == "so far\n"
    assert result.stderr == ("why\n" if "why" in leave else "")


def test_a_run_over_its_time_ends_with_124_and_keeps_its_output(riza: Riza) -> None:
    result = riza.run(
        "import sys\ndef execute(input):\n    print('so far', flush=True)\n    print('half', file=sys.stderr, end='')\n"
        "    sys.stderr.flush()\n    while True: pass",
        limits={"execution_timeout": 1},
    )
    assert result.ending == ("error", 124)
    assert result.stdout == "so far\n"
    assert result.stderr == "half\nexecution timed out after 1 s (limits.execution_timeout)\n"
    assert result.duration >= 1000


def test_a_run_over_its_memory_ends_with_137(riza: Riza) -> None:
    result = riza.run(
        "def execute(input):\n    print('so far', flush=True)\n    return len(bytearray(1 << 30))",
        limits={"memory_size": 64},
    )
    assert result.ending == ("error", 137)
    assert result.stdout == "so far\n"
    assert result.last_line == "killed: out of memory (limits.memory_size = 64 MiB)"


def test_memory_is_128_mib_unless_more_is_asked_for(riza: Riza) -> None:
    code = "def execute(input): return len(bytearray(180 << 20))"
    assert riza.run(code).last_line == "killed: out of memory (limits.memory_size = 128 MiB)"
    assert riza.run(code, limits={"memory_size": 256}).output == 180 << 20


def test_a_crash_names_its_signal(riza: Riza) -> None:
    result = riza.run("import ctypes\ndef execute(input):\n    print('so far', flush=True)\n    ctypes.string_at(0)")
    assert result.ending == ("error", 139)
    assert result.stdout == "so far\n"
    assert result.last_line == "killed by signal 11 (SIGSEGV)"


def test_a_flood_is_cut_and_says_so(riza: Riza) -> None:
    result = riza.run(
        "import sys\ndef execute(input):\n"
        "    sys.stdout.write('x' * (21 << 20))\n    sys.stderr.write('y' * (11 << 20))\n    return 'done'"
    )
    assert (result.output, result.ending) == ("done", ("valid", 0))
    assert (len(result.stdout), set(result.stdout)) == (20 * _MIB, {"x"})
    assert result.stderr == "y" * (10 * _MIB) + "\noutput truncated: stdout and stderr had more than is kept\n"


def test_bytes_that_are_no_text_are_shown_as_such(riza: Riza) -> None:
    result = riza.run("import os\ndef execute(input): os.write(1, b'a\\xff\\x00b')")
    assert (result.stdout, result.ending) == ("a\ufffd\0b", ("valid", 0))


def test_a_large_output_passes(riza: Riza) -> None:
    result = riza.run("def execute(input): return 'x' * (8 << 20)")
    assert (len(result.output), result.ending) == (8 * _MIB, ("valid", 0))


def test_an_output_without_bound_does_not(riza: Riza) -> None:
    result = riza.run("def execute(input): return 'x' * (16 << 20)")
    assert result.ending == ("json_serialization_error", 0)
    assert result.stderr == "output is larger than 15 MiB\n"


def test_one_run_sees_nothing_of_another(riza: Riza) -> None:
    leave = (
        "import builtins, os, tempfile\nbuiltins.left = 1\n"
        "def execute(input):\n    open(os.path.join(tempfile.gettempdir(), 'left'), 'w').close()\n"
        "    open('left', 'w').close()\n    os.environ['LEFT'] = '1'"
    )
    look = (
        "import builtins, os, tempfile\n"
        "def execute(input):\n    return [os.listdir('.'), 'left' in os.listdir(tempfile.gettempdir()),"
        " hasattr(builtins, 'left'), 'LEFT' in os.environ]"
    )
    for _ in range(6):  # more runs than children wait
        assert riza.run(leave).ending == ("valid", 0)
        assert riza.run(look).output == [[], False, False, False]
