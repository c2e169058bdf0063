"""polycall run and call: output as it is written, the value on standard output, an exit code that means something."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.harness import Server, until

HELLO = 'def execute(input): return {"hello": input["name"]}'
EXECUTION = r"executions/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
GREET = """
import sys

def greet(name: str, times: int = 1) -> str:
    print("out", name)
    print("err", name, file=sys.stderr)
    return name * times

def fail(message: str):
    raise ValueError(message)

def sleep(seconds: float):
    import time
    print("sleeping", flush=True)
    time.sleep(seconds)
    return "slept"
"""


@pytest.fixture(scope="module")
def greeter(polycall: Server) -> str:
    return polycall.deploy("cli-greeter", {"main.py": GREET}).name


def test_the_first_command_anybody_tries(cli: Cli) -> None:
    done = cli("run", "-", "--input", '{"name":"Ada"}', stdin=HELLO)
    assert (done.code, done.json()) == (0, {"hello": "Ada"})
    assert re.fullmatch(rf"OK · (forked|cold) · [0-9.]+ (µs|ms|s) · (cpu [0-9.]+ (µs|ms|s) · )?{EXECUTION}\n", done.err)


def test_the_value_comes_back_byte_for_byte(cli: Cli, tmp_path: Path) -> None:
    payload = '{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'
    (tmp_path / "in.json").write_text(payload)
    code = "import json\ndef execute(input): return input"
    done = cli("run", "-", "--input", f"@{tmp_path / 'in.json'}", stdin=code)
    assert (done.code, json.dumps(done.json())) == (0, payload)
    assert b"9007199254740993" in done.out
    assert b"1.0" in done.out


def test_output_and_value_stay_apart(cli: Cli) -> None:
    code = (
        'import sys\nprint("one")\nprint("two", end="")\nprint("three", file=sys.stderr)\ndef execute(input): return 1'
    )
    done = cli("run", "-", stdin=code)
    assert (done.code, done.text) == (0, "one\ntwo\n1\n")
    assert done.err.startswith("three\nOK · ")


def test_output_that_is_not_text_passes_through_a_pipe_untouched(cli: Cli) -> None:
    done = cli("run", "--script", "-", stdin="import sys; sys.stdout.buffer.write(bytes(range(256)))")
    assert done.out.removesuffix(b"\n") == bytes(range(256))


def test_code_that_raises_exits_1_and_shows_its_own_traceback(cli: Cli) -> None:
    done = cli("run", "-", stdin='def execute(input):\n    raise ValueError("bad city")')
    assert (done.code, done.out) == (1, b"")
    assert "line 2, in execute" in done.err
    assert "FAILED · ValueError: bad city · " in done.err.splitlines()[-1]
    assert "polycall/" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code", "said"),
    [
        (["--timeout", "300ms"], "def execute(input):\n    while True: pass", 5, "TIMEOUT · EXECUTION_TIMEOUT"),
        (["--cpu-time", "100ms"], "def execute(input):\n    while True: pass", 5, "TIMEOUT · CPU_TIME_EXCEEDED"),
        (["--memory", "64MiB"], "def execute(input): return len(bytearray(1 << 30))", 5, "FAILED · OUT_OF_MEMORY"),
        ([], "import sys\ndef execute(input): sys.exit(3)", 1, "FAILED · USER_EXIT"),
        ([], "def execute(input): return {1, 2}", 1, "FAILED · "),
        ([], "def execute(input) return 1", 1, "FAILED · SyntaxError"),
    ],
)
def test_how_it_ended_is_said_and_in_the_exit_code(
    cli: Cli, arguments: list[str], code: str, exit_code: int, said: str
) -> None:
    done = cli("run", "-", *arguments, stdin=code)
    assert (done.code, done.out) == (exit_code, b"")
    assert done.err.splitlines()[-1].startswith(said)


def test_a_limit_out_of_range_is_refused_with_the_range(cli: Cli) -> None:
    refused = cli("run", "-", "--timeout", "1d", stdin=HELLO)
    assert (refused.code, refused.out) == (5, b"")
    assert "limits.timeout" in refused.err


def test_input_that_is_not_json_is_refused(cli: Cli) -> None:
    refused = cli("run", "-", "--input", "{name: Ada}", stdin=HELLO)
    assert (refused.code, refused.out) == (2, b"")
    assert refused.err.startswith("polycall: execute.input_json: must be valid JSON")


def test_the_input_may_come_from_standard_input(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    done = cli("run", str(tmp_path / "hello.py"), "--input", "-", stdin='{"name": "Ada"}')
    assert (done.code, done.json()) == (0, {"hello": "Ada"})


def test_a_script_gets_arguments_input_files_and_environment(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1:], sys.stdin.read(), open('data/in.txt').read(), os.environ['A'], os.environ['MINE'])\n"
        "sys.exit(0)"
    )
    (tmp_path / "in.txt").write_text("file")
    (tmp_path / "stdin.txt").write_text("stdin")
    cli.monkeypatch.setenv("MINE", "2")
    done = cli(
        *("run", "--script", "--stdin", str(tmp_path / "stdin.txt"), "--file", f"data/in.txt={tmp_path / 'in.txt'}"),
        *("--env", "A=1", "--env", "MINE", str(tmp_path / "script.py"), "--", "-x", "y"),
    )
    assert (done.code, done.text) == (0, "['-x', 'y'] stdin file 1 2\n")


def test_a_script_that_exits_otherwise_than_0_has_failed(cli: Cli) -> None:
    done = cli("run", "--script", "-", stdin="raise SystemExit(7)")
    assert done.code == 1
    assert "USER_EXIT: The code exited with code 7." in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "x"], "ARGS and --stdin are for programs: add --script."),
        (["--script", "-", "--input", "1"], "--script runs the file itself"),
        (["--script", "-", "--stdin", "-"], "standard input cannot be both"),
        (["packages/p/functions/f", "--env", "A=1"], "env: only for code that comes with the request"),
        (["packages/p/functions/f", "--allow-host", "h"], "hosts: only for code that comes with the request"),
        (["packages/p/functions/f", "--script"], "script: only for code that comes with the request"),
        (["none.py"], "cannot read none.py: No such file or directory. A function is named packages/P/functions/F."),
        (["."], ". is a directory: `polycall deploy` it, and run its functions by their names."),
        (["packages/p"], "must be packages/{package}[/versions/{version}]/functions/{function}, got 'packages/p'"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(cli: Cli, arguments: list[str], message: str) -> None:
    refused = cli("run", *arguments)
    assert (refused.code, refused.out) == (2, b"")
    assert message in " ".join(refused.err.split())


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("hello.js", "function execute(input) { return { hello: input.name } }"),
        ("hello.cjs", "exports.execute = (input) => ({ hello: input.name })"),
        ("hello.mjs", "export default (input) => ({ hello: input.name })"),
        ("hello.ts", "export function execute(input: { name: string }) { return { hello: input.name } }"),
        ("hello.mts", "export const execute = async (input: { name: string }) => ({ hello: input.name })"),
    ],
)
def test_the_suffix_of_a_file_says_its_language(cli: Cli, tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).write_text(code)
    done = cli("run", str(tmp_path / name), "--input", '{"name": "Ada"}')
    assert (done.code, done.text) == (0, '{"hello":"Ada"}\n'), done.err


def test_a_function_runs_by_its_name(cli: Cli, greeter: str) -> None:
    for name in ("packages/cli-greeter/functions/greet", f"{greeter}/functions/greet"):
        done = cli("run", name, "--input", '{"name": "Ada", "times": 2}')
        assert (done.code, done.text) == (0, 'out Ada\n"AdaAda"\n')
        assert done.err.startswith("err Ada\nOK · ")


def test_a_function_that_is_not_there_names_those_that_are(cli: Cli, greeter: str) -> None:
    refused = cli("run", "packages/cli-greeter/functions/none")
    assert refused.code == 2
    assert "greet, fail, sleep" in refused.err


def test_json_is_the_execution_with_the_payload_as_text(cli: Cli, greeter: str) -> None:
    done = cli("run", "packages/cli-greeter/functions/greet", "--input", '{"name": "Ada"}', "--json")
    execution = done.json()
    assert (done.code, done.err) == (0, "")
    assert (execution["state"], execution["outputJson"]) == ("STATE_COMPLETED", '"Ada"')
    assert (execution["stdout"], execution["stderr"]) == ("out Ada\n", "err Ada\n")
    assert execution["function"] == f"{greeter}/functions/greet"


def test_call_prints_a_name_that_can_be_waited_for(cli: Cli, greeter: str) -> None:
    called = cli("call", "packages/cli-greeter/functions/greet", "--input", '{"name": "Ada"}')
    name = called.text.strip()
    assert (called.code, called.err) == (0, "")
    assert re.fullmatch(EXECUTION, name)
    waited = cli("executions", "wait", name)
    assert (waited.code, waited.text) == (0, '"Ada"\n')


def test_call_and_wait_is_like_run(cli: Cli, greeter: str) -> None:
    done = cli("call", "packages/cli-greeter/functions/fail", "--input", '{"message": "no"}', "--wait")
    assert done.code == 1
    assert "FAILED · ValueError: no · " in done.err


def test_repeating_a_request_id_makes_no_second_execution(cli: Cli, greeter: str) -> None:
    arguments = ("call", "packages/cli-greeter/functions/greet", "--input", '{"name": "Ada"}')
    request_id = "6f0c7f9e-7d0a-4b62-9d2c-0b8b2f6f0a11"
    first, second = (cli(*arguments, "--request-id", request_id).text for _ in range(2))
    assert first == second


def environment(server: Server) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")}
    return clean | {"POLYCALL_SERVER": server.grpc, "POLYCALL_API_KEY": server.key}


def test_output_appears_while_the_code_runs_and_ctrl_c_kills_it(polycall: Server, cli: Cli, greeter: str) -> None:
    command = [
        sys.executable,
        "-m",
        "polycall.cli",
        "run",
        "packages/cli-greeter/functions/sleep",
        "--input",
        '{"seconds": 60}',
    ]
    process = subprocess.Popen(
        command, env=environment(polycall), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "sleeping\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted.")

    def cancelled() -> bool:
        listed = cli("executions", "list", "--parent", "packages/cli-greeter/functions/sleep", "--json").json()
        # records are written behind the run, so the list may not have it yet
        return [execution["state"] for execution in listed.get("executions", [])] == ["STATE_CANCELLED"]

    until(cancelled, what="the record of the cancelled run")


def on_a_terminal(command: list[str], env: dict[str, str]) -> str:
    """Run a command on a terminal of 80 columns and return everything it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    shown = b""
    end = time.monotonic() + 60
    while time.monotonic() < end and select.select([master], [], [], 60)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other side has closed it
            break
        shown += piece
    process.wait(60)
    os.close(master)
    return shown.decode()


def test_a_terminal_shows_progress_after_a_second_and_is_not_talked_to_by_the_code(
    polycall: Server, tmp_path: Path
) -> None:
    (tmp_path / "evil.py").write_text(
        'import time\ntime.sleep(2.5)\nprint("\\x1b]0;owned\\x07")\ndef execute(input): return "\\x9b2J"'
    )
    command = [sys.executable, "-m", "polycall.cli", "run", str(tmp_path / "evil.py")]
    shown = on_a_terminal(command, environment(polycall) | {"TERM": "xterm", "COLUMNS": "80"})
    assert "running … 1 s" in shown
    assert "\\x1b]0;owned\\x07" in shown
    assert "\x1b]0" not in shown
    assert "\x9b" not in shown


def test_a_terminal_without_colour_is_plain(polycall: Server, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    command = [sys.executable, "-m", "polycall.cli", "run", str(tmp_path / "hello.py"), "--input", '{"name": "Ada"}']
    env = environment(polycall) | {"TERM": "xterm"}
    assert "\x1b[2mOK" in on_a_terminal(command, {k: v for k, v in env.items() if k != "NO_COLOR"})
    assert "\x1b" not in on_a_terminal(command, env | {"NO_COLOR": "1"})
