"""What must hold for the vendor's SDK (contract, section 10), item by item."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import rizaio
from rizaio import Riza as Client

from polycall_gateway.descriptors import Contract
from tests.contracts.riza.driver import ECHO, Result, Riza
from tests.harness import until

ID = "01JKY2FCN25GW3EC8JMFN3KWX9"
# Contract, section 3, and the two deletions that it adds.
ROUTES = {
    ("POST", "/v1/execute-function"),
    ("POST", "/v1/execute"),
    ("POST", "/v1/tools"),
    ("GET", "/v1/tools"),
    ("GET", f"/v1/tools/{ID}"),
    ("POST", f"/v1/tools/{ID}"),
    ("DELETE", f"/v1/tools/{ID}"),
    ("POST", f"/v1/tools/{ID}/execute"),
    ("POST", "/v1/secrets"),
    ("GET", "/v1/secrets"),
    ("DELETE", f"/v1/secrets/{ID}"),
    ("POST", "/v1/runtimes"),
    ("GET", "/v1/runtimes"),
    ("GET", f"/v1/runtimes/{ID}"),
    ("DELETE", f"/v1/runtimes/{ID}"),
    ("POST", f"/v1/runtimes/{ID}/revisions"),
    ("GET", f"/v1/runtimes/{ID}/revisions"),
    ("GET", f"/v1/runtimes/{ID}/revisions/{ID}"),
    ("GET", "/v1/executions"),
    ("GET", f"/v1/executions/{ID}"),
}
FUNCTION = {"code": ECHO, "language": "python"}
TOOL = {**FUNCTION, "name": "t"}
MANIFEST = {"name": "requirements.txt", "contents": ""}
RUNTIME = {"name": "r", "language": "python", "manifest_file": MANIFEST}


def test_all_routes_are_there_and_want_a_key(riza: Riza) -> None:
    bound = [binding for binding in Contract.load().bindings if binding.face == "riza"]
    assert len(bound) == len(ROUTES) == 20
    for method, path in sorted(ROUTES):
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer no key"}, {"authorization": "x"}):
            answer = riza.server.http(method, path, body=b"{" if method == "POST" else None, headers=headers)
            assert (answer.status, answer.body) == (401, b'{"code":16,"message":"unauthenticated"}'), (method, path)
            assert answer.headers["content-type"] == "application/json"


def test_every_success_is_200_and_a_tool_is_updated_by_post(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    done: set[tuple[str, str]] = set()

    def ok(method: str, path: str, members: Any = None, **ids: str) -> Any:
        shown = path
        for name, value in ids.items():
            shown = shown.replace(f"<{name}>", value)
            path = path.replace(f"<{name}>", ID)
        answer = mine.ask(method, shown, members)
        assert answer.status == 200, (method, path, answer.body)
        done.add((method, path))
        return answer.json()

    ok("POST", "/v1/execute-function", FUNCTION)
    ok("POST", "/v1/execute", {"code": "1", "language": "python"})
    tool = ok("POST", "/v1/tools", TOOL)["id"]
    ok("GET", "/v1/tools")
    ok("GET", "/v1/tools/<tool>", tool=tool)
    ok("POST", "/v1/tools/<tool>", {"name": "u"}, tool=tool)
    ran = ok("POST", "/v1/tools/<tool>/execute", {}, tool=tool)["execution"]["id"]
    ok("DELETE", "/v1/tools/<tool>", tool=tool)
    secret = ok("POST", "/v1/secrets", {"name": "n", "value": "v"})["id"]
    ok("GET", "/v1/secrets")
    ok("DELETE", "/v1/secrets/<secret>", secret=secret)
    runtime = ok("POST", "/v1/runtimes", RUNTIME)["id"]
    ok("GET", "/v1/runtimes")
    ok("GET", "/v1/runtimes/<runtime>", runtime=runtime)
    revision = ok("POST", "/v1/runtimes/<runtime>/revisions", {"manifest_file": MANIFEST}, runtime=runtime)["id"]
    ok("GET", "/v1/runtimes/<runtime>/revisions", runtime=runtime)
    ok("GET", "/v1/runtimes/<runtime>/revisions/<revision>", runtime=runtime, revision=revision)
    ok("DELETE", "/v1/runtimes/<runtime>", runtime=runtime)
    ok("GET", "/v1/executions")
    ok("GET", "/v1/executions/<execution>", execution=ran)
    assert done == ROUTES


def test_members_are_snake_case_and_never_dropped_and_integers_are_numbers(alone: Riza) -> None:
    answer = alone.send(json.dumps({"code": "def execute(input): pass", "language": "python"}).encode())
    assert answer.body.startswith(b'{"output":null,"output_status":"valid","execution":{"id":"')
    assert b'"exit_code":0,"stdout":"","stderr":"","duration":' in answer.body
    assert type(answer.json()["execution"]["duration"]) is int
    tool = alone.ask("POST", "/v1/tools", TOOL).body
    assert b'"description":"","input_schema":{},"language":"python"' in tool
    listed = alone.get("/v1/executions?limit=1")["data"][0]
    assert (listed["exit_code"], listed["language"]) == (0, "python")
    assert [type(listed[name]) for name in ("duration", "exit_code")] == [int, int]
    assert alone.ask("POST", "/v1/runtimes", RUNTIME).json()["status"] in ("pending", "building", "succeeded")


def test_input_output_and_schema_are_carried_as_they_are(alone: Riza) -> None:
    raw = b'{"z":9007199254740993, "a":2.0, "\xc3\xa4":[1,  1.0]}'
    code = "const execute = input => input"
    body = b'{"code":"def execute(input): return input","language":"python","input":%s}' % raw
    assert b'"output":{"z": 9007199254740993, "a": 2.0, "\xc3\xa4": [1, 1.0]}' in alone.send(body).body
    tool = alone.ask(
        "POST",
        "/v1/tools",
        b'{"code":"%s","language":"javascript","name":"t","input_schema":%s}' % (code.encode(), raw),
    ).body
    assert b'"input_schema":' + raw in tool
    execution = Result.of(alone.send(body)).id
    assert b'"input":' + raw in alone.ask("GET", f"/v1/executions/{execution}").body


def _builds_ended(riza: Riza) -> bool:
    return all(made["status"] in ("succeeded", "failed") for made in riza.get("/v1/runtimes")["runtimes"])


def test_null_is_absent_and_0_is_the_default(alone: Riza) -> None:
    nulls: dict[str, Any] = dict.fromkeys(("input", "env", "files", "http", "limits", "runtime_revision_id"))
    assert alone.run(**nulls).output is None
    assert alone.run(input=1, limits={"execution_timeout": 0, "memory_size": 0}).output == 1
    assert alone.script("print(1)", **nulls, args=None, stdin=None).stdout == "1\n"
    more = dict.fromkeys(("description", "input_schema", "runtime_revision_id"))
    tool = alone.ask("POST", "/v1/tools", TOOL | more).json()
    call = dict.fromkeys(("input", "env", "http", "revision_id"))
    assert Result.of(alone.ask("POST", f"/v1/tools/{tool['id']}/execute", call)).ending == ("valid", 0)
    runtime = RUNTIME | dict.fromkeys(("additional_python_imports", "engine"))
    assert alone.ask("POST", "/v1/runtimes", runtime).json()["engine"] == "microvm"
    # A build that goes on between the two listings would make them differ.
    until(lambda: _builds_ended(alone), seconds=120, what="the end of every build")
    for name in ("tools", "runtimes", "executions"):
        assert alone.get(f"/v1/{name}?limit=0&starting_after=") == alone.get(f"/v1/{name}")


def test_all_kinds_of_credentials_at_once_unknown_members_and_capitals_are_accepted(alone: Riza) -> None:
    auth = {
        "basic": {"user_id": "u", "password": "p", "surprise": 1},
        "bearer": {"token": "t"},
        "header": {"name": "n", "token": "v"},
        "query": {"key": "k", "token": "v"},
        "surprise": {},
    }
    http = {"allow": [{"host": "example.com", "auth": auth, "surprise": []}], "surprise": None}
    assert alone.run(language="PYTHON", input=1, http=http, surprise=[1]).output == 1
    tool = alone.ask("POST", "/v1/tools", TOOL | {"language": "Python", "surprise": 1}).json()
    call = {"input": 1, "http": http, "files": [], "limits": {"surprise": 1}}
    assert Result.of(alone.ask("POST", f"/v1/tools/{tool['id']}/execute", call)).output == 1


def test_lists_have_their_envelopes_and_end_with_an_empty_page(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    envelopes = {"/v1/tools": "tools", "/v1/secrets": "secrets", "/v1/runtimes": "runtimes", "/v1/executions": "data"}
    for path, envelope in envelopes.items():
        assert mine.get(path) == {envelope: []}
    for _ in range(2):
        mine.ask("POST", "/v1/tools", TOOL)
        mine.ask("POST", "/v1/secrets", {"name": "n", "value": "v"})
        mine.run()
    runtime, _ = (mine.ask("POST", "/v1/runtimes", RUNTIME).json() for _ in range(2))
    for path, envelope in envelopes.items():
        (newer,) = mine.get(f"{path}?limit=1")[envelope]
        (older,) = mine.get(f"{path}?limit=1&starting_after={newer['id']}")[envelope]
        assert newer["id"] > older["id"]
        assert mine.get(f"{path}?limit=1&starting_after={older['id']}") == {envelope: []}
        answer = mine.ask("GET", f"{path}?limit=-1")
        assert mine.refused(answer) == (400, 3, "limit: must be 1 to 100, or 0 for 100")
    revisions = mine.get(f"/v1/runtimes/{runtime['id']}/revisions")
    assert [each["id"] for each in revisions["revisions"]] == [runtime["revision_id"]]


@pytest.mark.parametrize(
    ("code", "limits", "ending", "last"),
    [
        ("def execute(input): raise ValueError('no')", {}, ("error", 1), "ValueError: no"),
        ("import sys\ndef execute(input): sys.exit(7)", {}, ("error", 7), ""),
        (
            "def execute(input):\n  while True: pass",
            {"execution_timeout": 1},
            ("error", 124),
            "execution timed out after 1 s (limits.execution_timeout)",
        ),
        (
            "def execute(input): return len(b'x' * (1 << 30))",
            {"memory_size": 64},
            ("error", 137),
            "killed: out of memory (limits.memory_size = 64 MiB)",
        ),
    ],
    ids=["raised", "exited", "timed out", "out of memory"],
)
def test_code_that_fails_is_200(
    alone: Riza, code: str, limits: dict[str, int], ending: tuple[str, int], last: str
) -> None:
    result = alone.run(code, limits=limits)
    assert result.ending == ending
    assert (result.stderr.splitlines() or [""])[-1] == last


def test_refusals_are_of_kinds_that_the_sdk_does_not_repeat(client: Client) -> None:
    runtime = client.runtimes.create(
        name="n", language="python", manifest_file={"name": "requirements.txt", "contents": "surely-not-there-x9==0"}
    )
    tool = client.tools.create(code=ECHO, language="python", name="t", input_schema={"type": "null"})
    stranger = Client(api_key="no", base_url=client.base_url)
    refusals: list[tuple[Callable[[], Any], type[rizaio.APIStatusError], int]] = [
        (lambda: client.command.exec_func(code=ECHO, language="cobol"), rizaio.BadRequestError, 3),  # type: ignore[arg-type]
        (lambda: client.command.exec(code="1", language="php"), rizaio.BadRequestError, 9),
        (lambda: client.command.exec(code="1", language="ruby"), rizaio.BadRequestError, 9),
        (lambda: client.tools.exec(tool.id, input=1), rizaio.BadRequestError, 3),
        (lambda: client.tools.create(code="", language="python", name="n"), rizaio.BadRequestError, 3),
        (lambda: client.tools.get("x"), rizaio.NotFoundError, 5),
        (lambda: client.tools.update("x", name="n"), rizaio.NotFoundError, 5),
        (lambda: client.tools.exec(tool.id, revision_id="x"), rizaio.NotFoundError, 5),
        (lambda: client.secrets.create(name="", value=""), rizaio.BadRequestError, 3),
        (lambda: client.runtimes.get("x"), rizaio.NotFoundError, 5),
        (lambda: client.runtimes.delete("x"), rizaio.NotFoundError, 5),
        (lambda: client.runtimes.revisions.get("x", runtime_id=runtime.id), rizaio.NotFoundError, 5),
        (
            lambda: client.command.exec_func(code=ECHO, language="python", runtime_revision_id=runtime.revision_id),
            rizaio.BadRequestError,
            9,
        ),
        (lambda: client.executions.get("x"), rizaio.NotFoundError, 5),
        (lambda: stranger.tools.list(), rizaio.AuthenticationError, 16),
        (lambda: client.put("/v1/tools", cast_to=object), rizaio.APIStatusError, 12),
        (lambda: client.get("/v1/nothing", cast_to=object), rizaio.NotFoundError, 5),
    ]
    for ask, kind, code in refusals:
        with pytest.raises(kind) as refused:
            ask()
        error = refused.value
        assert isinstance(error.body, dict)
        assert error.body["code"] == code
        assert list(error.body) == ["code", "message"]
        assert error.status_code in (400, 401, 403, 404, 405, 413)
        assert error.request.headers.get("x-stainless-retry-count") == "0", error
    stranger.close()


def test_a_run_sees_nothing_of_any_other(alone: Riza) -> None:
    leave = """
import os, subprocess, sys, json
def execute(input):
    json.marked = True
    os.environ["LEFT"] = "1"
    for place in ("/tmp", os.getcwd(), os.environ.get("HOME", "/")):
        try: open(os.path.join(place, "left-behind"), "w").close()
        except OSError: pass
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
"""
    look = """
import json, os
def execute(input):
    found = [place for place in ("/tmp", os.getcwd(), os.environ.get("HOME", "/"))
             if os.path.exists(os.path.join(place, "left-behind"))]
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    return [found, "LEFT" in os.environ, hasattr(json, "marked"), others]
"""
    alone.run(leave, env={"SECRET": "s"}, files=[{"path": "f", "contents": "c"}])
    assert alone.run(look).output == [[], False, False, []]
    tool = alone.ask("POST", "/v1/tools", TOOL | {"code": leave}).json()
    alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {})
    alone.ask("POST", f"/v1/tools/{tool['id']}", {"code": look})
    for _ in range(2):
        result = Result.of(alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {}))
        assert result.output == [[], False, False, []]
