"""The first minute: `polycall serve --examples` prints calls that work as they stand, after a second start too."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polycall.cli.first_minute import examples_directory
from polycall.cli.source import read_source
from tests.harness import START_S, STOP_S, free_port, until

ROOT = Path(__file__).parents[2]
TITLES = ["Riza", "Cognite Functions", "Guance", "xpander.ai", "Domo Code Engine", "gRPC, by reflection"]
VERSIONS = [
    "packages/1/versions/1",
    "packages/756f0b19-5125-44f6-b541-058980ff6a94/versions/1.0.1",
    "packages/guance__openapi/versions/1",
    "packages/hello/versions/1",
    "packages/hello-javascript/versions/1",
    "packages/hello-typescript/versions/1",
    "packages/8c1d2f60-3b5e-4a7c-9d10-6e2f4b8a7c31/versions/1",
]


@contextlib.contextmanager
def serving(data_dir: Path, last_line: str, *arguments: str) -> Iterator[list[str]]:
    """Run `polycall serve` and yield the lines it printed up to the first one that matches ``last_line``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")}
    environment |= {
        "POLYCALL_REST_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_DATA_DIR": str(data_dir),
    }
    process = subprocess.Popen(
        [Path(sys.executable).with_name("polycall"), "serve", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if re.fullmatch(last_line, lines[-1]):
                break
        else:
            raise AssertionError("polycall did not become ready:\n" + "\n".join(lines))
        watchdog.cancel()
        yield lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-minute")


@pytest.fixture(scope="module")
def printed(data_dir: Path) -> Iterator[str]:
    """What the first start of all prints, while that server serves."""
    with serving(data_dir, r"Ctrl-C stops\.", "--examples") as lines:
        yield "\n".join(lines)


def command(printed: str, title: str) -> str:
    """Return the command below a title, up to the next blank line."""
    _, found, rest = printed.partition(f"# {title}\n")
    assert found, printed
    return rest.partition("\n\n")[0]


def pasted(shell: str) -> Any:
    """Paste a command into a shell, in the directory that `make run` was called in, and return the JSON it prints."""
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parts(shell: str, path: str) -> tuple[str, str]:
    """Return the URL that ends with a path in a command, and the header that goes there."""
    found = re.search(rf"(http://\S+{path}) \\\n  (-H '[^']*')", shell)
    assert found is not None, shell
    return found[1], found[2]


def test_the_first_minute_says_where_how_isolated_and_with_which_key(printed: str, data_dir: Path) -> None:
    key = (data_dir / "bootstrap.key").read_text().strip()
    assert re.search(r"^polycall [0-9.]+ is ready after [0-9.]+ s$", printed, re.MULTILINE)
    assert re.search(r"^  REST     http://127\.0\.0\.1:[0-9]+ ", printed, re.MULTILINE)
    assert re.search(r"^  gRPC     127\.0\.0\.1:[0-9]+ ", printed, re.MULTILINE)
    assert re.search(r"^  sandbox  L[23]: ", printed, re.MULTILINE)
    assert f"\n  key      {key}\n" in printed
    assert [line.removeprefix("# ") for line in printed.splitlines() if line.startswith("# ")] == TITLES
    assert (data_dir / "bootstrap.key").stat().st_mode & 0o777 == 0o600


def test_the_riza_command_gives_the_documented_answer(printed: str) -> None:
    answer = pasted(command(printed, "Riza"))
    assert list(answer) == ["output", "output_status", "execution"]
    assert (answer["output"], answer["output_status"]) == ({"name": "John", "executed": True}, "valid")
    execution = answer["execution"]
    assert list(execution) == ["id", "exit_code", "stdout", "stderr", "duration"]
    assert (execution["exit_code"], execution["stdout"], execution["stderr"]) == (0, "", "")
    assert type(execution["duration"]) is int


def test_the_cognite_command_makes_a_call_that_completes(printed: str) -> None:
    shell = command(printed, "Cognite Functions")
    call = pasted(shell)
    assert list(call) == ["id", "status", "startTime", "functionId"]
    assert (call["status"], call["functionId"]) == ("Running", 1)
    url, header = parts(shell, "/functions/1/call")

    def of_the_call(path: str, *more: str) -> Any:
        return pasted(" ".join(["curl -sS", f"{url}s{path}", header, *more]))

    def completed() -> bool:
        state = of_the_call("/byids", f"""-d '{{"items": [{{"id": {call["id"]}}}]}}'""")["items"][0]
        assert state["status"] in ("Running", "Completed"), state
        return bool(state["status"] == "Completed")

    until(completed, seconds=30, what="the call")
    response = of_the_call(f"/{call['id']}/response")
    assert response == {"callId": call["id"], "functionId": 1, "response": {"greeting": "Hello, Ada"}}
    logs = of_the_call(f"/{call['id']}/logs")
    assert [line["message"] for line in logs["items"]] == [f"call {call['id']} of function 1"]


def test_the_guance_command_gives_the_documented_answer(printed: str) -> None:
    answer = pasted(command(printed, "Guance"))
    content = answer["content"]
    assert list(answer) == ["code", "content", "errorCode", "message", "success", "traceId"]
    assert list(content) == ["data", "error", "message", "ok", "reqCost", "reqTime", "respTime", "traceId"]
    assert (answer["code"], answer["errorCode"], answer["message"], answer["success"]) == (200, "", "", True)
    assert (content["data"], content["error"], content["ok"]) == ({"result": "Hello, Tom"}, 200, True)
    assert content["traceId"] == answer["traceId"]


def test_the_request_of_guances_document_fails_as_in_the_document(printed: str) -> None:
    url, header = parts(command(printed, "Guance"), "/execute")
    body = {
        "funcId": "guance__openapi.test",
        "funcBody": {"kwargs": {"workspace_token": {}, "workspace_uuid": {}, "your_name": {"default": "OpenAPI User"}}},
    }
    content = pasted(f"curl -sS {url} {header} --data-raw '{json.dumps(body)}' --compressed")["content"]
    assert (content["error"], content["reason"], content["ok"]) == (599.3, "EFuncFailed", False)
    assert content["detail"]["einfoTEXT"].endswith(
        "Invalid input of type: 'dict'. Convert to a bytes, string, int or float first."
    )


def test_the_xpander_command_gives_the_documented_answer(printed: str) -> None:
    assert pasted(command(printed, "xpander.ai")) == "Hello, San Francisco"


def test_the_domo_command_gives_the_documented_answer(printed: str) -> None:
    answer = pasted(command(printed, "Domo Code Engine"))
    assert list(answer) == [
        *("executionId", "packageId", "version", "functionName", "status", "settings", "startedOn", "startedBy"),
        *("completedOn", "result", "stdout", "stderr", "errorInformation"),
    ]
    assert (answer["status"], answer["settings"]) == ("SUCCESS", {"getLogs": True})
    assert (answer["version"], answer["functionName"]) == ("1.0.1", "getExecutionDetails")
    assert answer["result"]["paramName"] == "any"
    assert answer["stdout"] == {"log": ["called with 'any'"]}


def test_the_grpc_command_needs_no_proto_files(printed: str) -> None:
    shell = command(printed, "gRPC, by reflection")
    answer = pasted(shell)
    assert shell.startswith(".venv/bin/buf curl ")
    assert (answer["state"], json.loads(answer["outputJson"])) == ("STATE_COMPLETED", {"hello": "Ada"})


def test_a_second_start_keeps_what_is_there(tmp_path: Path) -> None:
    with serving(tmp_path, r"\{.*\}", "--examples", "--json") as lines:
        first = json.loads(lines[-1])
    with serving(tmp_path, r"\{.*\}", "--examples", "--json") as lines:
        second = json.loads(lines[-1])
        answer = pasted(second["commands"]["xpander.ai"])
    assert first["examples"] == dict.fromkeys(sorted(first["examples"]), "deployed")
    assert second["examples"] == dict.fromkeys(first["examples"], "kept")
    assert set(second["examples"]) == set(VERSIONS)
    assert list(second["commands"]) == TITLES
    assert answer == "Hello, San Francisco"


def test_the_key_is_not_printed_unless_it_is_needed(tmp_path: Path) -> None:
    with serving(tmp_path, r"  key .*") as lines:
        key = (tmp_path / "bootstrap.key").read_text().strip()
    assert lines[-1] == f"  key      in {tmp_path / 'bootstrap.key'}"
    assert key not in "\n".join(lines)


def test_every_example_has_a_manifest_with_a_version_of_its_own() -> None:
    manifests = [read_source(str(path)).manifest for path in examples_directory().iterdir() if path.is_dir()]
    assert {f"packages/{m.package}/versions/{m.version}" for m in manifests} == set(VERSIONS)
