"""Scripts: standard input, arguments, exit code; POST /v1/execute."""

from __future__ import annotations

from typing import Any

import pytest
from rizaio import Riza as Client

from tests.contracts.riza.driver import Riza

_MIB = 1 << 20


def test_the_vendors_sdk_runs_a_script(riza: Riza) -> None:
    code = "import os, sys\nprint(sys.argv[1:], sys.stdin.read(), os.environ['A'], open('f').read())\nsys.exit(3)"
    with Client(api_key=riza.key, base_url=riza.server.rest, _strict_response_validation=True) as client:
        answer = client.command.exec(
            code=code,
            language="python",
            args=["one", "two words", ""],
            stdin="typed\n",
            env={"A": "b"},
            files=[{"path": "f", "contents": "c"}],
            http={"allow": []},
            limits={"execution_timeout": 5, "memory_size": 64},
        )
    assert (answer.exit_code, answer.stdout, answer.stderr) == (3, "['one', 'two words', ''] typed\n b c\n", "")
    assert len(answer.id) == 26
    assert type(answer.duration) is int


def test_a_script_is_the_main_program(riza: Riza) -> None:
    result = riza.script(
        "if __name__ == '__main__':\n    import sys\n    print(len(sys.argv), __file__ == sys.argv[0])"
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 True\n", "")


def test_standard_input_is_delivered_whole_and_ends(riza: Riza) -> None:
    code = "import sys\ndata = sys.stdin.read()\nprint(len(data), data[:2], repr(sys.stdin.read()))"
    assert riza.script(code, stdin="é\n" + "x" * (5 * _MIB)).stdout == f"{5 * _MIB + 2} é\n ''\n"
    assert riza.script(code).stdout == "0  ''\n"
    assert riza.script("print(input(), input())", stdin="a\nb\n").stdout == "a b\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "last_line"),
    [
        ("raise KeyError('k')", 1, "KeyError: 'k'"),
        ("import sys\nsys.exit('why')", 1, "why"),
        ("import os\nos._exit(77)", 77, ""),
        ("def broken(", 1, "SyntaxError: '(' was never closed"),
        ("print(input())", 1, "EOFError: EOF when reading a line"),
        ("while True: pass", 124, "execution timed out after 1 s (limits.execution_timeout)"),
        ("bytearray(1 << 30)", 137, "killed: out of memory (limits.memory_size = 32 MiB)"),
        ("import ctypes\nctypes.string_at(0)", 139, "killed by signal 11 (SIGSEGV)"),
    ],
    ids=["raise", "exit text", "_exit", "syntax", "end of input", "time", "memory", "signal"],
)
def test_how_a_script_ended_is_its_exit_code(riza: Riza, code: str, exit_code: int, last_line: str) -> None:
    limits = {"execution_timeout": 1 if exit_code == 124 else 30, "memory_size": 32}
    result = riza.script(f"print('so far', flush=True)\n{code}", limits=limits)
    assert result.exit_code == exit_code
    assert (result.stderr.splitlines() or [""])[-1] == last_line
    assert result.stdout == ("" if "broken" in code else "so far\n")


def test_a_traceback_shows_the_scripts_own_lines(riza: Riza) -> None:
    assert riza.script("def helper():\n    1 / 0\n\nhelper()\n").stderr == (
        "Traceback (most recent call last):\n"
        '  File "main.py", line 4, in <module>\n'
        "    helper()\n"
        '  File "main.py", line 2, in helper\n'
        "    1 / 0\n    ~~^~~\n"
        "ZeroDivisionError: division by zero\n"
    )


_JAVASCRIPT = """
const args = process.argv.slice(2);
console.log(args.join(), process.env.A, await Promise.resolve("awaited"));
console.error("to stderr");
process.exit(args.length + 1);
"""


@pytest.mark.parametrize("language", ["javascript", "TYPESCRIPT"])
def test_a_script_may_be_javascript(riza: Riza, language: str) -> None:
    code = _JAVASCRIPT if language == "javascript" else _JAVASCRIPT.replace("const args", "const args: string[]")
    result = riza.script(code, language=language, args=["a", "b c"], env={"A": "x"})
    assert (result.exit_code, result.stdout, result.stderr) == (3, "a,b c x awaited\n", "to stderr\n")


def test_javascript_that_fails_or_goes_beyond_a_limit_has_the_same_exit_codes(riza: Riza) -> None:
    thrown = riza.script("throw new TypeError('no')", language="javascript")
    assert (thrown.exit_code, "TypeError: no" in thrown.stderr) == (1, True)
    limits = {"execution_timeout": 1, "memory_size": 64}
    assert riza.script("while (true);", language="javascript", limits=limits).exit_code == 124
    code = "const held = []; while (true) held.push(new Array(1000).fill(held.length))"
    assert riza.script(code, language="javascript", limits={"memory_size": 64}).exit_code == 137


def test_files_are_read_only_below_mnt_req_and_what_is_written_is_not_returned(riza: Riza) -> None:
    code = "import os\nprint(os.getcwd(), open('/mnt/req/d/f').read())\nopen('new', 'w').write('x')\nopen('d/f', 'w')"
    result = riza.script(code, files=[{"path": "d/f", "contents": "c"}])
    assert (result.exit_code, result.stdout) == (1, "/mnt/req c\n")
    assert result.last_line == "PermissionError: [Errno 13] Permission denied: 'd/f'"


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"language": "cobol"}, (400, 3, "language: must be one of python, javascript, typescript, ruby, php")),
        ({"language": "ruby"}, (400, 9, "ruby is not installed on this server.")),
        ({"language": "PHP"}, (400, 9, "php is not installed on this server.")),
        ({"code": None}, (400, 3, "code: is required")),
        ({"args": ["x"] * 101}, (400, 3, "args: has 101 arguments; at most 100")),
        ({"args": ["x", "y" * 102_401]}, (400, 3, "args[1]: must be UTF-8 without NUL of at most 102400 bytes")),
        ({"args": ["a\0b"]}, (400, 3, "args[0]: must be UTF-8 without NUL of at most 102400 bytes")),
        ({"args": "a"}, (400, 3, "args: Expected `array | null`, got `str`")),
        ({"stdin": 5}, (400, 3, "stdin: Expected `str | null`, got `int`")),
        ({"stdin": "x" * (10 * _MIB + 1)}, (400, 3, f"stdin: must have at most {10 * _MIB} bytes")),
        ({"files": [{"path": "../x", "contents": ""}]}, (400, 3, "files[0].path: must not contain '..'")),
        (
            {"limits": {"execution_timeout": 301}},
            (400, 3, "limits.execution_timeout: must be 1 to 300 seconds, or 0 for 30"),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_script_may_not_ask_is_named(riza: Riza, members: dict[str, Any], answer: tuple[int, int, str]) -> None:
    assert riza.refused(riza.post_script(**({"code": "print()"} | members))) == answer


def test_a_script_of_an_unknown_revision_is_not_found(riza: Riza) -> None:
    status, code, message = riza.refused(riza.post_script("print()", runtime_revision_id="01JKY2FCN25GW3EC8JMFN3KWX9"))
    assert (status, code) == (404, 5)
    assert "01JKY2FCN25GW3EC8JMFN3KWX9" in message


def test_only_post_is_allowed(riza: Riza) -> None:
    answer = riza.server.http("GET", "/v1/execute", headers={"authorization": f"Bearer {riza.key}"})
    assert (*riza.refused(answer)[:2], answer.headers["allow"]) == (405, 12, "POST")
