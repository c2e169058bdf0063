"""Tools: kept with all their revisions, run by id, with inputs that are checked first."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import rizaio
from rizaio import AsyncRiza
from rizaio import Riza as Client

from polycall.ids import from_ulid, new_id, to_ulid
from polycall.v1 import execution_pb2, execution_service_pb2, package_pb2, package_service_pb2, tenancy_service_pb2
from tests.contracts.riza.driver import ECHO, Result, Riza
from tests.harness import until

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "required": ["n"],
    "additionalProperties": False,
}


def make(mine: Riza, code: str = ECHO, **members: Any) -> dict[str, Any]:
    """Create a tool; the answer must be one, all members there."""
    answer = mine.ask("POST", "/v1/tools", {"name": "t", "language": "python", "code": code, **members})
    assert answer.status == 200, answer.body
    tool: dict[str, Any] = answer.json()
    always = ["id", "code", "description", "input_schema", "language", "name", "revision_id"]
    assert [name for name in tool if name != "runtime_revision_id"] == always
    return tool


def execute(mine: Riza, tool: dict[str, Any], **members: Any) -> Result:
    """Run a tool; the answer must be a FunctionResult."""
    return Result.of(mine.ask("POST", f"/v1/tools/{tool['id']}/execute", members))


def test_a_tool_is_created_run_updated_and_its_old_revision_still_runs(client: Client) -> None:
    made = client.tools.create(
        code="def execute(input): return {'v': 1, 'n': input['n']}",
        language="PYTHON",  # type: ignore[arg-type]
        name="counter",
        description="Counts.",
        input_schema=SCHEMA,
    )
    assert made.to_dict() == {
        "id": made.id,
        "code": "def execute(input): return {'v': 1, 'n': input['n']}",
        "description": "Counts.",
        "input_schema": SCHEMA,
        "language": "python",
        "name": "counter",
        "revision_id": made.revision_id,
    }
    assert from_ulid(made.id) is not None
    assert from_ulid(made.revision_id) is not None
    assert client.tools.get(made.id).to_dict() == made.to_dict()
    first = client.tools.exec(made.id, input={"n": 2})
    assert (first.output, first.output_status) == ({"v": 1, "n": 2}, "valid")
    assert (first.execution.exit_code, first.execution.stdout, first.execution.stderr) == (0, "", "")

    newer = client.tools.update(made.id, code="def execute(input): return {'v': 2, 'n': input['n']}", name="Counter")
    assert newer.to_dict() == made.to_dict() | {
        "code": "def execute(input): return {'v': 2, 'n': input['n']}",
        "name": "Counter",
        "revision_id": newer.revision_id,
    }
    assert newer.revision_id != made.revision_id
    assert client.tools.get(made.id).to_dict() == newer.to_dict()
    assert client.tools.exec(made.id, input={"n": 3}).output == {"v": 2, "n": 3}
    old = client.tools.exec(made.id, input={"n": 4}, revision_id=made.revision_id)
    assert old.output == {"v": 1, "n": 4}

    shown = client.executions.get(old.execution.id)
    assert shown.details is not None
    assert shown.details.to_dict() == {
        "type": "tool",
        "tool_id": made.id,
        "request": {"input": {"n": 4}, "revision_id": made.revision_id},
        "response": old.to_dict(),
    }
    with pytest.raises(rizaio.BadRequestError) as refused:
        client.tools.exec(made.id, input={"n": 0})
    assert refused.value.body == {"code": 3, "message": "input/n: must be 1 or more"}


def test_the_asynchronous_client_does_all_of_it_too(alone: Riza) -> None:
    async def walk() -> tuple[Any, ...]:
        async with AsyncRiza(api_key=alone.key, base_url=alone.server.rest, _strict_response_validation=True) as client:
            made = await client.tools.create(code=ECHO, language="python", name="async")
            newer = await client.tools.update(made.id, description="d")
            got = await client.tools.get(made.id)
            ran = await client.tools.exec(made.id, input=[1])
            secret = await client.secrets.create(name="n", value="v")
            runtime = await client.runtimes.create(
                name="r", language="python", manifest_file={"name": "requirements.txt", "contents": ""}
            )
            revision = await client.runtimes.revisions.create(
                runtime.id, manifest_file={"name": "requirements.txt", "contents": ""}
            )
            same = await client.runtimes.revisions.get(revision.id, runtime_id=runtime.id)
            listed = await client.runtimes.revisions.list(runtime.id)
            assert (await client.runtimes.get(runtime.id)).revision_id == revision.id
            assert (await client.runtimes.delete(runtime.id)).deleted
            script = await client.command.exec(code="print(1)", language="python")
            shown = await client.executions.get(ran.execution.id)
            assert newer.revision_id != made.revision_id
            return got.description, ran.output, secret.name, same.id == listed.revisions[0].id, script.stdout, shown.id

    description, output, name, same, stdout, execution = asyncio.run(walk())
    assert (description, output, name, same, stdout) == ("d", [1], "n", True, "1\n")
    assert from_ulid(execution) is not None


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "const execute = async input => input.n + 1;"),
        ("typescript", "export default function execute(input: {n: number}): number { return input.n + 1 }"),
    ],
)
def test_tools_are_written_in_other_languages_too(alone: Riza, language: str, code: str) -> None:
    tool = make(alone, code, language=language.upper())
    assert tool["language"] == language
    assert execute(alone, tool, input={"n": 41}).output == 42
    newer = alone.ask("POST", f"/v1/tools/{tool['id']}", {"language": "python", "code": ECHO}).json()
    assert newer["language"] == "python"
    assert execute(alone, tool, input={"n": 41}).output == {"n": 41}
    assert execute(alone, tool, input={"n": 41}, revision_id=tool["revision_id"]).output == 42


def test_schema_input_and_output_are_carried_byte_for_byte(alone: Riza) -> None:
    schema = b'{"z":1.0, "a":9007199254740993,  "type":"object"}'
    body = b'{"name":"raw","language":"python","code":"def execute(input): return input","input_schema":%s}' % schema
    answer = alone.ask("POST", "/v1/tools", body)
    assert schema in answer.body
    tool = answer.json()
    assert schema in alone.ask("GET", f"/v1/tools/{tool['id']}").body
    answer = alone.ask("POST", f"/v1/tools/{tool['id']}/execute", b'{"input":{"b":2.0,"a":9007199254740993}}')
    assert answer.body.startswith(b'{"output":{"b": 2.0, "a": 9007199254740993},')


def test_an_update_that_says_nothing_changes_nothing(alone: Riza) -> None:
    tool = make(alone, description="d", input_schema=SCHEMA)
    for nothing in ({}, {"surprise": 1}, dict.fromkeys(("code", "language", "name", "description", "input_schema"))):
        assert alone.ask("POST", f"/v1/tools/{tool['id']}", nothing).json() == tool
    newer = alone.ask("POST", f"/v1/tools/{tool['id']}", {"description": "", "input_schema": {}}).json()
    assert newer == tool | {"description": "", "input_schema": {}, "revision_id": newer["revision_id"]}


def test_code_that_is_broken_is_kept_and_fails_when_it_is_run(alone: Riza) -> None:
    for code, last in (
        ("def execute(input) return 1", "SyntaxError: expected ':'"),
        ("x = 1", "NameError: execute is not defined"),
        ("def execute(): return 1", "TypeError: execute() takes 0 positional arguments but 1 was given"),
    ):
        tool = make(alone, code)
        result = execute(alone, tool)
        assert (result.ending, result.last_line) == (("error", 1), last)
        alone.ask("POST", f"/v1/tools/{tool['id']}", {"code": ECHO})
        assert execute(alone, tool, input=5).output == 5


def test_absent_input_is_null_for_code_and_schema(alone: Riza) -> None:
    tool = make(alone)
    assert Result.of(alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {})).output is None
    assert execute(alone, tool, input=None).output is None
    for scalar in (1, "text", [1, "x"], True):
        assert execute(alone, tool, input=scalar).output == scalar
    strict = make(alone, input_schema=SCHEMA)
    answer = alone.ask("POST", f"/v1/tools/{strict['id']}/execute", {})
    assert alone.refused(answer) == (400, 3, "input: must be an object")


def test_nothing_runs_and_nothing_is_recorded_if_the_input_does_not_fit(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    tool = make(mine, input_schema=SCHEMA | {"properties": {"n": {"type": "string", "pattern": "^[a-c]+$"}}})
    path = f"/v1/tools/{tool['id']}/execute"
    assert mine.refused(mine.ask("POST", path, {"input": {"n": "abd"}})) == (400, 3, "input/n: must match ^[a-c]+$")
    assert mine.refused(mine.ask("POST", path, {"input": {"n": "a", "m": 1}})) == (400, 3, "input/m: is not allowed")
    assert mine.get("/v1/executions") == {"data": []}
    assert execute(mine, tool, input={"n": "abc"}).output == {"n": "abc"}
    assert len(mine.get("/v1/executions")["data"]) == 1


def test_an_expression_that_would_match_for_ever_ends_in_a_sandbox(alone: Riza) -> None:
    tool = make(alone, input_schema={"pattern": "^(a+)+$"})
    begun = time.monotonic()
    answer = alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {"input": "a" * 64 + "b"})
    assert alone.refused(answer) == (
        400,
        3,
        "input: takes more than 1 s or 512 MiB to check by its schema",
    )
    assert time.monotonic() - begun < 60
    assert execute(alone, tool, input="aaa").output == "aaa"


def test_a_large_input_is_checked_in_a_sandbox_too(alone: Riza) -> None:
    tool = make(
        alone,
        "def execute(input): return len(input)",
        input_schema={"type": "array", "items": {"type": "integer", "minimum": 1}},
    )
    numbers = [1] * 100_000
    assert execute(alone, tool, input=numbers).output == len(numbers)
    answer = alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {"input": [*numbers, 0]})
    assert alone.refused(answer) == (400, 3, "input/100000: must be 1 or more")


def test_the_environment_is_a_list_and_the_later_of_two_counts(alone: Riza) -> None:
    tool = make(alone, "import os\ndef execute(input): return {k: os.environ.get(k) for k in input}")
    env = [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "C", "value": None}, {"name": "A", "value": "2"}]
    assert execute(alone, tool, input=["A", "B", "C", "D"], env=env).output == {"A": "2", "B": "", "C": "", "D": None}
    path = f"/v1/tools/{tool['id']}/execute"
    assert alone.refused(alone.ask("POST", path, {"env": [{"value": "x"}]})) == (400, 3, "env[0].name: is required")
    assert alone.refused(alone.ask("POST", path, {"env": {"A": "x"}}))[:2] == (400, 3)
    status, code, message = alone.refused(alone.ask("POST", path, {"env": [{"name": "A=B", "value": "x"}]}))
    assert (status, code) == (400, 3)
    assert message.startswith("env['A=B']: ")


def test_a_secret_may_be_the_value_of_a_variable_and_is_masked_afterwards(strict: Client, alone: Riza) -> None:
    secret = strict.secrets.create(name="KEY", value="s3cret-äö")
    tool = make(alone, "import os\ndef execute(input): return os.environ['KEY'] == input")
    ran = strict.tools.exec(
        tool["id"], input="s3cret-äö", env=[{"name": "KEY", "secret_id": secret.id, "value": "loses"}]
    )
    assert ran.output is True
    shown = alone.ask("GET", f"/v1/executions/{ran.execution.id}")
    request = shown.json()["details"]["request"]
    assert request == {"input": "s3cret-äö", "env": [{"name": "KEY", "value": "***", "secret_id": secret.id}]}
    later = strict.secrets.create(name="KEY", value="another")
    alone.ask("DELETE", f"/v1/secrets/{secret.id}")
    path = f"/v1/tools/{tool['id']}/execute"
    gone = alone.refused(alone.ask("POST", path, {"env": [{"name": "KEY", "secret_id": secret.id}]}))
    assert gone == (404, 5, f"secret_id: there is no secret {secret.id!r} in this project.")
    answer = alone.ask("POST", path, {"input": "another", "env": [{"name": "KEY", "secret_id": later.id}]})
    assert answer.json()["output"] is True


def test_a_tool_runs_on_the_runtime_it_names(strict: Client, alone: Riza) -> None:
    runtime = strict.runtimes.create(
        name="six", language="python", manifest_file={"name": "requirements.txt", "contents": "six==1.17.0"}
    )
    body = {"name": "t", "language": "python", "code": ECHO, "runtime_revision_id": runtime.revision_id}
    first = alone.ask("POST", "/v1/tools", body)
    if first.status != 200:  # it is not built yet
        assert alone.refused(first)[:2] == (400, 9)
        until(lambda: strict.runtimes.get(runtime.id).status == "succeeded", seconds=120, what="the build")
    tool = make(
        alone, "import six\ndef execute(input): return six.__version__", runtime_revision_id=runtime.revision_id
    )
    assert tool["runtime_revision_id"] == runtime.revision_id
    assert execute(alone, tool).output == "1.17.0"
    kept = alone.ask("POST", f"/v1/tools/{tool['id']}", {"name": "renamed"}).json()
    assert (kept["name"], kept["runtime_revision_id"]) == ("renamed", runtime.revision_id)
    plain = alone.ask("POST", f"/v1/tools/{tool['id']}", {"runtime_revision_id": ""}).json()
    assert "runtime_revision_id" not in plain
    assert "No module named 'six'" in execute(alone, tool).stderr
    assert execute(alone, tool, revision_id=tool["revision_id"]).output == "1.17.0"
    strict.runtimes.delete(runtime.id)
    path = f"/v1/tools/{tool['id']}/execute"
    assert alone.refused(alone.ask("POST", path, {"revision_id": tool["revision_id"]}))[:2] == (404, 5)
    assert alone.refused(alone.ask("POST", "/v1/tools", body))[:2] == (404, 5)


def test_every_tool_is_listed_once_to_the_end_while_others_are_added(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    made = [make(mine, f"def execute(input): return {number}")["id"] for number in range(5)]
    with Client(api_key=mine.key, base_url=mine.server.rest, _strict_response_validation=True) as client:
        seen = []
        for each in client.tools.list(limit=2):
            seen.append(each.id)
            make(mine)
        assert seen == list(reversed(made))
        assert len(list(client.tools.list(limit=100))) == 10

    async def walk() -> list[str]:
        async with AsyncRiza(api_key=mine.key, base_url=mine.server.rest) as client:
            return [each.id async for each in client.tools.list(limit=3)]

    assert asyncio.run(walk())[5:] == list(reversed(made))


def test_a_deleted_tool_is_gone_and_its_place_in_the_list_is_not(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    older, gone, newer = (make(mine)["id"] for _ in range(3))
    ran = Result.of(mine.ask("POST", f"/v1/tools/{gone}/execute", {"input": 1}))
    answer = mine.ask("DELETE", f"/v1/tools/{gone}")
    assert (answer.status, answer.json()) == (200, {"id": gone, "deleted": True})
    for method, of in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/execute")):
        body: Any = {} if method == "POST" else None
        refused = mine.refused(mine.ask(method, f"/v1/tools/{gone}{of}", body))
        assert refused == (404, 5, f"There is no tool {gone!r} in this project.")

    def ids(query: str) -> list[str]:
        return [each["id"] for each in mine.get(f"/v1/tools?{query}")["tools"]]

    assert ids("") == [newer, older]
    assert ids(f"starting_after={newer}") == ids(f"starting_after={gone}") == [older]
    assert ids(f"starting_after={older}") == []
    for nowhere in ("x", "%00", "Z" * 26):
        assert ids(f"starting_after={nowhere}") == []
    assert mine.get(f"/v1/executions/{ran.id}")["details"]["tool_id"] == gone


def test_a_page_of_tools_ends_where_it_is_large_and_nothing_is_lost(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    padding = "#" + "x" * 1_000_000 + "\n"
    made = [make(mine, padding + ECHO)["id"] for _ in range(18)]
    assert len(mine.get("/v1/tools")["tools"]) == 16
    with Client(api_key=mine.key, base_url=mine.server.rest) as client:
        assert [each.id for each in client.tools.list()] == list(reversed(made))


def test_tools_can_be_listed_and_run_natively(alone: Riza) -> None:
    tool = make(alone, "def execute(input): return input['n'] * 2", name="double", input_schema=SCHEMA)
    metadata = [("authorization", f"Bearer {alone.key}")]
    server = alone.server
    packages = server.packages.ListPackages(package_service_pb2.ListPackagesRequest(), metadata=metadata).packages
    assert f"packages/{tool['id']}" in [each.name for each in packages]
    package = server.packages.GetPackage(
        package_service_pb2.GetPackageRequest(name=f"packages/{tool['id']}"), metadata=metadata
    )
    assert package.display_name == "double"
    ran = server.executions.RunFunction(
        execution_service_pb2.RunFunctionRequest(
            function=f"packages/{tool['id']}/functions/execute", input_json='{"n": 21}'
        ),
        metadata=metadata,
    )
    assert ran.output_json == "42"
    (version,) = server.packages.ListVersions(
        package_service_pb2.ListVersionsRequest(parent=f"packages/{tool['id']}"), metadata=metadata
    ).versions
    assert version.state == package_pb2.Version.STATE_RELEASED
    assert json.loads(version.functions[0].input_schema_json) == SCHEMA
    result = execute(alone, tool, input={"n": 2})
    assert result.output == 4
    request = execution_service_pb2.ListExecutionsRequest(parent=f"packages/{tool['id']}")
    listed = until(
        lambda: len(found := server.executions.ListExecutions(request, metadata=metadata).executions) == 2 and found,
        what="the records of both runs",
    )
    assert [each.state for each in listed] == [execution_pb2.Execution.STATE_COMPLETED] * 2


def test_a_package_that_is_no_tool_is_none(alone: Riza) -> None:
    alone.server.deploy("not-a-tool", {"main.py": ECHO}, key=alone.key)
    assert "not-a-tool" not in [each["id"] for each in alone.get("/v1/tools")["tools"]]
    for method, path in (("GET", "/v1/tools/not-a-tool"), ("POST", "/v1/tools/not-a-tool/execute")):
        assert alone.refused(alone.ask(method, path, {} if method == "POST" else None))[:2] == (404, 5)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"code": None}, "code: is required"),
        ({"code": None, "name": None, "language": None}, "code: is required; language: is required; name: is required"),
        ({"code": " "}, "code: must not be empty"),
        ({"name": ""}, "name: must not be empty"),
        ({"name": "x" * 4097}, "name: must have at most 4096 characters"),
        ({"description": "x" * 4097}, "description: must have at most 4096 characters"),
        ({"language": "ruby"}, "language: must be one of python, javascript, typescript"),
        ({"code": "x" * (1024 * 1024 + 1)}, "code: must have at most 1048576 bytes"),
        ({"input_schema": [1]}, "input_schema: must be a JSON Schema, an object"),
        (
            {"input_schema": {"type": "text"}},
            "input_schema: /type: must be one or some of null, boolean, object, array, number, string, integer",
        ),
        ({"name": 5}, "name: Expected `str | null`, got `int`"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_no_tool_is_refused(alone: Riza, members: dict[str, Any], message: str) -> None:
    body = {"name": "n", "language": "python", "code": ECHO} | members
    assert alone.refused(alone.ask("POST", "/v1/tools", body)) == (400, 3, message)


def test_an_expression_that_is_none_is_refused_before_the_tool_is_kept(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    body = {"name": "n", "language": "python", "code": ECHO, "input_schema": {"pattern": "(a"}}
    status, code, message = mine.refused(mine.ask("POST", "/v1/tools", body))
    assert (status, code) == (400, 3)
    assert message.startswith("input_schema: '(a' is not an expression that can be used")
    assert mine.get("/v1/tools") == {"tools": []}


def test_unknown_revisions_runtimes_and_foreign_tools_are_not_found(
    alone: Riza, strict: Client, newcomer: Callable[[], Riza]
) -> None:
    tool, other = make(alone), make(alone)
    for revision in (other["revision_id"], to_ulid(new_id()), "x", "-", "a\0b"):
        answer = alone.ask("POST", f"/v1/tools/{tool['id']}/execute", {"revision_id": revision})
        assert alone.refused(answer)[:2] == (404, 5)
    for missing in ("x", to_ulid(new_id()), "a\0b"):
        body = {"name": "n", "language": "python", "code": ECHO, "runtime_revision_id": missing}
        assert alone.refused(alone.ask("POST", "/v1/tools", body))[:2] == (404, 5)
        assert alone.refused(alone.ask("POST", f"/v1/tools/{tool['id']}", body))[:2] == (404, 5)
    stranger = newcomer()
    for method, of in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/execute")):
        sent: Any = {} if method == "POST" else None
        assert stranger.refused(stranger.ask(method, f"/v1/tools/{tool['id']}{of}", sent))[:2] == (404, 5)
    assert stranger.get("/v1/tools") == {"tools": []}
    with pytest.raises(rizaio.NotFoundError):
        strict.tools.get("x")
    assert alone.get(f"/v1/tools/{tool['id']}") == tool


def test_two_updates_at_once_lose_nothing(alone: Riza) -> None:
    tool = make(alone)

    async def both() -> None:
        async with AsyncRiza(api_key=alone.key, base_url=alone.server.rest) as client:
            await asyncio.gather(
                client.tools.update(tool["id"], name="N"),
                client.tools.update(tool["id"], description="D"),
                client.tools.update(tool["id"], code="def execute(input): return 'C'"),
            )

    asyncio.run(both())
    now = alone.get(f"/v1/tools/{tool['id']}")
    assert (now["name"], now["description"]) == ("N", "D")
    assert execute(alone, tool).output == "C"


def test_tools_need_a_key_with_the_scope(alone: Riza) -> None:
    scopes = tenancy_service_pb2.ApiKey
    run_only = alone.server.new_key(scopes=[scopes.SCOPE_RUN])
    read_only = alone.server.new_key(scopes=[scopes.SCOPE_READ])
    for method, path, key in (
        ("POST", "/v1/tools", run_only),
        ("GET", "/v1/tools", run_only),
        ("GET", "/v1/tools/x", run_only),
        ("POST", "/v1/tools/x", read_only),
        ("DELETE", "/v1/tools/x", read_only),
        ("POST", "/v1/tools/x/execute", read_only),
    ):
        body = b"{" if method == "POST" else None  # permission comes first
        assert alone.refused(alone.ask(method, path, body, key=key))[:2] == (403, 7), path
        assert alone.refused(alone.ask(method, path, body, key="no")) == (401, 16, "unauthenticated")
        assert alone.refused(alone.ask("PUT", path))[:2] == (405, 12)


def test_a_key_that_may_run_has_tools_but_no_secrets(riza: Riza) -> None:
    tool = make(riza)
    secret = riza.ask("POST", "/v1/secrets", {"name": "n", "value": "v"}).json()
    run_only = riza.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    path = f"/v1/tools/{tool['id']}/execute"
    assert riza.ask("POST", path, {"input": 1}, key=run_only).json()["output"] == 1
    # whoever says to which host a secret goes, or to which code, knows it
    for body in (
        {"env": [{"name": "A", "secret_id": secret["id"]}]},
        {"env": [{"name": "A", "secret_id": "not there"}]},
        {"http": {"allow": [{"host": "example.com", "auth": {"bearer": {"secret_id": secret["id"]}}}]}},
    ):
        assert riza.refused(riza.ask("POST", path, body, key=run_only))[:2] == (403, 7)
