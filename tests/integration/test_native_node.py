"""A Node.js client, made from the protos with grpc-js and proto-loader, against a real server."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2

from polycall.errors import Code
from tests.harness import Server

ROOT = Path(__file__).parents[2]
INSTALL_S, RUN_S = 120.0, 60.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the client's script, beside what its lock file names."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed on this machine")
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(ROOT / "tests" / "node" / name, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert installed.returncode == 0, installed.stderr
    return directory / "client.js"


@pytest.fixture(scope="module")
def told(client: Path, polycall: Server) -> Any:
    """Return what the client printed."""
    polycall.deploy("native-node", {"main.py": "def echo(**members):\n    print('from node')\n    return members"})
    function = "packages/native-node/functions/echo"
    command = ["node", str(client), polycall.grpc, polycall.key, str(ROOT / "protos"), function]
    done = subprocess.run(command, cwd=client.parent, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_executes_code(told: Any) -> None:
    executed = told["executed"]
    assert (executed["state"], executed["output_json"], executed["stdout"]) == (
        *("STATE_COMPLETED", told["exact"], "é\n"),
    )
    assert executed["name"].startswith("executions/")
    assert (executed["limits"]["timeout"], executed["limits"]["memory_mib"]) == ({"seconds": "5"}, 64)


def test_node_sees_an_exception_as_an_answer(told: Any) -> None:
    assert (told["raised"]["state"], told["raised"]["error"]["reason"], told["raised"]["error"]["type"]) == (
        *("STATE_FAILED", "ERROR_REASON_USER_EXCEPTION", "KeyError"),
    )


def test_node_runs_a_function(told: Any) -> None:
    assert (told["ran"]["state"], told["ran"]["output_json"]) == ("STATE_COMPLETED", told["exact"])
    assert told["ran"]["function"] == "packages/native-node/versions/1/functions/echo"


def test_node_calls_a_function_and_waits_for_it(told: Any) -> None:
    assert told["accepted"]["kind"] == "KIND_CALL"
    assert (told["ended"]["name"], told["ended"]["state"], told["ended"]["output_json"]) == (
        *(told["accepted"]["name"], "STATE_COMPLETED", '{"a": 1}'),
    )


def test_node_follows_a_stream(told: Any) -> None:
    assert (told["events"][0], told["events"][-1]) == ("started", "finished")
    assert set(told["events"][1:-1]) == {"output"}


def test_node_reads_errors_with_their_details(told: Any) -> None:
    wrong = told["wrong"]
    assert (wrong["code"], wrong["details"], wrong["request_id"]) == (
        *(Code.INVALID_ARGUMENT, "code: must not be empty", "node-1"),
    )
    status = status_pb2.Status.FromString(base64.b64decode(wrong["status"]))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_INPUT", "polycall")
    assert told["unknown"]["code"] == Code.NOT_FOUND
