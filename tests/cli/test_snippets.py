"""polycall functions snippet: every kind is run as it was printed, against a real server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cognite.client import global_config
from rizaio import Riza

from polycall.v1 import execution_pb2, package_pb2
from tests.cli.conftest import Cli
from tests.contracts.clients import node_client, python_client
from tests.contracts.xpander.test_xpander_sdk import SDK
from tests.harness import Server

NODE = {"@grpc/grpc-js": "1.14.1", "@grpc/proto-loader": "0.8.0"}
RUN_S = 120.0

SOURCE = '''
from typing import Literal, Optional, TypedDict

class Item(TypedDict):
    price: float
    name: str

def total(items: list[Item], kind: Literal["net", "gross"], note: Optional[str], tax: float = 0.5, extra: int = None):
    """Add up."""
    return {"sum": sum(item["price"] for item in items) * (1 + tax), "kind": kind, "note": note, "extra": extra}
'''
TOLD = {"sum": 2.25, "kind": "net", "note": "example", "extra": None}  # of the input that is made of the schema


def snippet(cli: Cli, server: Server, name: str, kind: str, *more: str) -> str:
    done = cli("functions", "snippet", name, "--as", kind, "--rest", server.rest, *more)
    assert done.code == 0, done.err
    assert server.key not in done.text
    return done.text


def python(code: str, server: Server) -> str:
    """Run a program in this process, with the key in the environment; return what it printed."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("POLYCALL_API_KEY", server.key)
        patch.setattr(global_config, "disable_pypi_version_check", True)
        exec(compile(code, "snippet.py", "exec"), {"__name__": "__main__"})
    return out.getvalue().strip()


def outside(command: Sequence[str | Path], server: Server, **options: Any) -> str:
    """Run a command with the key in the environment; return what it printed."""
    environment = {**os.environ, "POLYCALL_API_KEY": server.key}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return str(done.stdout).strip()


@pytest.fixture(scope="module")
def total(polycall: Server) -> str:
    """The name of a function in a package with a name that has to be quoted everywhere."""
    package = "it%27s%20a%2Fb%20%C3%A9%20%22%24x%22"
    polycall.deploy(package, {"main.py": SOURCE})
    return f"packages/{package}/functions/total"


def test_curl(cli: Cli, polycall: Server, total: str) -> None:
    code = snippet(cli, polycall, total, "curl")
    assert json.loads(json.loads(outside(["sh", "-c", code], polycall))["outputJson"]) == TOLD
    given = snippet(cli, polycall, total, "curl", "--input", '{"items": [], "kind": "it\'s", "note": "$x"}')
    assert json.loads(json.loads(outside(["sh", "-c", given], polycall))["outputJson"])["kind"] == "it's"
    version = total.replace("/functions", "/versions/1/functions")
    assert "/versions/1/" in snippet(cli, polycall, version, "curl")


def test_grpc_python(cli: Cli, polycall: Server, total: str) -> None:
    assert json.loads(python(snippet(cli, polycall, total, "grpc-python"), polycall)) == TOLD
    with pytest.raises(SystemExit, match="TypeError: "):
        python(snippet(cli, polycall, total, "grpc-python", "--input", "{}"), polycall)


def test_grpc_node(cli: Cli, polycall: Server, total: str, tmp_path: Path) -> None:
    directory = node_client(NODE)
    code = snippet(cli, polycall, total, "grpc-node")
    told = outside(["node", "-"], polycall, input=code, cwd=directory)
    assert json.loads(told) == TOLD


def test_riza(cli: Cli, polycall: Server) -> None:
    with Riza(api_key=polycall.key, base_url=polycall.rest) as riza:
        code = "def execute(input):\n    return {'hello': input['name'] + '!'}\n"
        schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        tool = riza.tools.create(code=code, language="python", name="greet", input_schema=schema)
        first = tool.revision_id
        riza.tools.update(tool.id, code=code.replace("!", "?"))
    name = f"packages/{tool.id}/functions/execute"
    assert python(snippet(cli, polycall, name, "riza"), polycall) == "{'hello': 'example?'}"
    revision = name.replace("/functions", f"/versions/{first}/functions")
    assert python(snippet(cli, polycall, revision, "riza"), polycall) == "{'hello': 'example!'}"


def test_cognite(cli: Cli, polycall: Server) -> None:
    handle = package_pb2.Function(name="handle", convention=execution_pb2.CONVENTION_HANDLE)
    source = (
        "from typing import TypedDict\nclass D(TypedDict):\n    name: str\n\ndef handle(data: D):\n    return data\n"
    )
    polycall.deploy("70410", {"main.py": source}, functions=[handle])
    code = snippet(cli, polycall, "packages/70410/functions/handle", "cognite")
    assert python(code, polycall) == "{'name': 'example'}"


def test_guance(cli: Cli, polycall: Server) -> None:
    polycall.deploy("snippets__main", {"main.py": SOURCE})
    code = snippet(cli, polycall, "packages/snippets__main/functions/total", "guance")
    assert python(code, polycall) == str(TOLD)


def test_xpander(cli: Cli, polycall: Server, tmp_path: Path) -> None:
    function_id = str(uuid.uuid4())
    polycall.deploy(function_id, {"main.py": SOURCE.replace("total", "xpander_run_action")})
    code = snippet(cli, polycall, f"packages/{function_id}/functions/xpander_run_action", "xpander")
    (tmp_path / "snippet.py").write_text(code)
    assert outside([python_client(*SDK), tmp_path / "snippet.py"], polycall) == str(TOLD)


def test_domo(cli: Cli, polycall: Server) -> None:
    number = package_pb2.DeclaredType(type="number")
    add = package_pb2.Function(
        name="add",
        convention=execution_pb2.CONVENTION_PARAMETERS,
        parameters=[
            package_pb2.Parameter(name="a", declared_type=number),
            package_pb2.Parameter(name="b", declared_type=package_pb2.DeclaredType(type="number", is_list=True)),
            package_pb2.Parameter(name="c", declared_type=number, default_json="5"),
        ],
        output=number,
    )
    package = str(uuid.uuid4())
    polycall.deploy(
        *(package, {"main.py": "def add(a, b, c):\n    return a + sum(b) + c\n"}),
        version="1.0.1",
        functions=[add],
        release=True,
    )
    for name in (f"packages/{package}/functions/add", f"packages/{package}/versions/1.0.1/functions/add"):
        assert python(snippet(cli, polycall, name, "domo"), polycall) == "7"


def test_what_a_contract_cannot_call_is_said_with_the_next_step(cli: Cli, polycall: Server, total: str) -> None:
    polycall.deploy("snippets-two", {"main.py": "def one(): return 1\n\ndef two(): return 2\n"})
    polycall.deploy("70411", {"main.py": "def one(): return 1\n\ndef two(): return 2\n"})
    polycall.deploy("snippets__js", {"main.js": "export function f() { return 1; }"}, language="javascript")
    polycall.deploy("snippets-broken", {"main.py": "def f(:\n"})
    two = "packages/snippets-two/functions/two"
    wrong: Mapping[tuple[str, str], str] = {
        (total, "riza"): "is no tool of Riza's contract",
        (total, "cognite"): "calls functions by a number",
        (total, "guance"): "calls `set__script.function`",
        (total, "xpander"): "no `_`, `/` or space",
        (total, "domo"): "calls released versions, and packages/it%27s%20a%2Fb%20%C3%A9%20%22%24x%22/versions/1 is not",
        (two, "xpander"): "calls `xpander_run_action` of a package, or its only public function; two is neither",
        ("packages/70411/functions/two", "cognite"): "calls `handle` of a package, or its only public function",
        ("packages/snippets-two/versions/1/functions/two", "xpander"): "has no versions",
        ("packages/snippets__js/functions/f", "guance"): "calls Python functions",
        ("packages/snippets-broken/functions/f", "curl"): "cannot be run, its state is ERROR: main.py:1",
        ("packages/snippets-two/functions/three", "curl"): "has no public function three; it has: one, two",
        ("packages/snippets-none/functions/three", "curl"): "packages/snippets-none does not exist",
        ("nonsense", "curl"): "NAME: ",
    }
    for (name, kind), words in wrong.items():
        done = cli("functions", "snippet", name, "--as", kind, "--rest", polycall.rest)
        assert (done.code, done.out) == (2, b""), (name, kind)
        assert words in done.err, done.err
    for more, words in (
        (("--input", "{"), "--input is not JSON"),
        (("--as", "xpander", "--input", "[]"), "passes an object, and the input is none"),
        (("--rest", "example.com"), "must be an http or https URL"),
    ):
        name = "packages/snippets-one/functions/one"
        polycall.deploy("snippets-one", {"main.py": "def one(): return 1\n"})
        done = cli("functions", "snippet", name, *more, *(() if "--rest" in more else ("--rest", polycall.rest)))
        assert done.code in (1, 2), (more, done.text)
        assert words in done.err, done.err


def test_rest_is_this_machines_or_has_to_be_said(cli: Cli, polycall: Server, total: str) -> None:
    cli.monkeypatch.setenv("POLYCALL_REST_ADDRESS", "0.0.0.0:8123")
    assert "http://127.0.0.1:8123/polycall/v1/" in cli("functions", "snippet", total).text
