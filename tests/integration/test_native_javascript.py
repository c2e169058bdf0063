"""JavaScript and TypeScript through the native contract: versions found and declared, every verb, warm workers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import duration_pb2

from polycall.errors import Code
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2, package_pb2, package_service_pb2
from tests.harness import Server
from tests.integration.native import bad_fields, refusal

Execution = execution_pb2.Execution
S = 30.0
SOURCE = """
import { twice } from "./lib/twice.ts"

const me = crypto.randomUUID()
let calls = 0

export function add(a: number, b: number = 2): number {
  return twice(a) / 2 + b
}

export async function talk({ times }: { times: number }): Promise<number> {
  for (let n = 0; n < times; n++) {
    console.log("out", n)
    console.error("err", n)
    await new Promise((r) => setTimeout(r, 10))
  }
  return times
}

export const count = () => [me, ++calls]
export const environment = () => process.env.COLOUR
export const hang = () => new Promise((r) => setTimeout(r, 600_000))
export function nothing() {}
export function fail(): never {
  throw new RangeError("no")
}

export class NotAFunction {}
const hidden = () => 1
"""
FILES = {"main.ts": SOURCE, "lib/twice.ts": "export const twice = (n: number): number => n * 2"}


@pytest.fixture(scope="module")
def version(polycall: Server) -> package_pb2.Version:
    return polycall.deploy("native-ts", FILES, language="typescript", env={"COLOUR": "blue"}, release=True)


def run(server: Server, function: str, given: Any = None, **fields: Any) -> execution_pb2.Execution:
    request = execution_service_pb2.RunFunctionRequest(
        function=f"packages/native-ts/functions/{function}", input_json=json.dumps(given), **fields
    )
    answer: execution_pb2.Execution = server.executions.RunFunction(request, metadata=server.metadata, timeout=S)
    return answer


def execute(server: Server, code: str, **fields: Any) -> execution_pb2.Execution:
    request = execution_service_pb2.ExecuteRequest(code=code, **fields)
    answer: execution_pb2.Execution = server.executions.Execute(request, metadata=server.metadata, timeout=S)
    return answer


def test_what_a_module_exports_becomes_functions(version: package_pb2.Version) -> None:
    assert (version.state, version.error) == (package_pb2.Version.STATE_RELEASED, "")
    names = {function.name for function in version.functions}
    assert names == {"add", "talk", "count", "environment", "hang", "nothing", "fail"}
    (add,) = (function for function in version.functions if function.name == "add")
    assert (add.entrypoint, add.convention) == ("main.ts:add", execution_pb2.CONVENTION_KEYWORDS)


def test_a_function_runs_warm_from_its_second_call_on(polycall: Server, version: package_pb2.Version) -> None:
    first, second = run(polycall, "count"), run(polycall, "count")
    assert json.loads(second.output_json) == [json.loads(first.output_json)[0], json.loads(first.output_json)[1] + 1]
    assert second.start_kind == Execution.START_KIND_WARM


def test_arguments_go_to_the_parameters_of_their_name(polycall: Server, version: package_pb2.Version) -> None:
    assert run(polycall, "add", {"a": 1}).output_json == "3"
    assert run(polycall, "add", {"b": 5, "a": 1}).output_json == "6"
    assert run(polycall, "talk", {"times": 1}).output_json == "1"
    assert run(polycall, "environment").output_json == '"blue"'
    assert run(polycall, "nothing").output_json == "null"


def test_a_failure_names_the_lines_of_the_source(polycall: Server, version: package_pb2.Version) -> None:
    failed = run(polycall, "fail")
    assert (failed.state, failed.error.type, failed.error.message) == (Execution.STATE_FAILED, "RangeError", "no")
    assert failed.error.traceback == "RangeError: no\n    at fail (main.ts:25:9)\n"


def test_a_call_and_a_stream_are_as_for_python(polycall: Server, version: package_pb2.Version) -> None:
    function = "packages/native-ts/functions/talk"
    called = polycall.executions.Call(
        execution_service_pb2.CallRequest(function=function, input_json='{"times": 1}'),
        metadata=polycall.metadata,
        timeout=S,
    )
    waited = polycall.executions.WaitExecution(
        execution_service_pb2.WaitExecutionRequest(name=called.name), metadata=polycall.metadata, timeout=S
    )
    assert (waited.state, waited.output_json, waited.language) == (
        *(Execution.STATE_COMPLETED, "1", execution_pb2.LANGUAGE_TYPESCRIPT),
    )
    request = execution_service_pb2.StreamExecutionRequest(
        run_function=execution_service_pb2.RunFunctionRequest(function=function, input_json='{"times": 2}')
    )
    events = list(polycall.executions.StreamExecution(request, metadata=polycall.metadata, timeout=S))
    pieces = b"".join(event.output.data for event in events if event.HasField("output"))
    assert sorted(pieces.split(b"\n")) == sorted([b"out 0", b"out 1", b"err 0", b"err 1", b""])
    assert events[-1].finished.output_json == "2"


def test_a_timeout_ends_the_worker_and_the_next_call_gets_another(
    polycall: Server, version: package_pb2.Version
) -> None:
    before = json.loads(run(polycall, "count").output_json)
    limits = execution_pb2.Limits(timeout=duration_pb2.Duration(nanos=300_000_000))
    ended = run(polycall, "hang", limits=limits)
    assert (ended.state, ended.error.reason) == (
        *(Execution.STATE_TIMEOUT, error_reason_pb2.ERROR_REASON_EXECUTION_TIMEOUT),
    )
    assert json.loads(run(polycall, "count").output_json)[0] != before[0]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (execution_pb2.LANGUAGE_JAVASCRIPT, "function execute(input) { return { hello: input.name } }"),
        (execution_pb2.LANGUAGE_TYPESCRIPT, "export default (i: { name: string }) => ({ hello: i.name })"),
    ],
)
def test_code_is_executed_as_it_comes(polycall: Server, language: Any, code: str) -> None:
    done = execute(polycall, code, language=language, input_json='{"name": "Ada"}')
    assert (done.state, done.output_json, done.language) == (Execution.STATE_COMPLETED, '{"hello":"Ada"}', language)


def test_numbers_beyond_two_to_the_53_are_doubles_in_javascript(polycall: Server) -> None:
    code = "const execute = (input) => input"
    done = execute(polycall, code, language=execution_pb2.LANGUAGE_JAVASCRIPT, input_json="[9007199254740993, 1.0]")
    assert done.output_json == "[9007199254740992,1]"


def test_handle_is_for_python(polycall: Server) -> None:
    refused = refusal(
        lambda: execute(
            polycall,
            "function handle() {}",
            language=execution_pb2.LANGUAGE_JAVASCRIPT,
            convention=execution_pb2.CONVENTION_HANDLE,
            entrypoint="handle",
        )
    )
    assert refused.code == Code.INVALID_ARGUMENT
    assert bad_fields(refused)["convention"].startswith("HANDLE is for Python functions")


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"main.ts": "export function f(: number) {}"}, "main.ts:1: SyntaxError: "),
        ({"main.js": "export function f() {}\nthrow new Error('at its top')"}, "main.js: Error: at its top"),
        ({"main.js": "import x from './no.js'\nexport function f() {}"}, "main.js:1: Error: Module not found"),
        ({"main.js": "const nothing = 1"}, "The source has no public top-level function"),
        ({"a.js": "", "b.js": ""}, "The source has no main.ts, main.js"),
    ],
)
def test_a_source_without_functions_that_load_says_what_is_wrong(
    polycall: Server, files: dict[str, str], error: str
) -> None:
    made = polycall.deploy("native-js-wrong", files, language="javascript")
    assert made.state == package_pb2.Version.STATE_ERROR
    assert made.error.startswith(error)


def test_declared_functions_are_not_run_when_they_are_deployed(polycall: Server) -> None:
    source = "if (!process.env.SECRET) throw new Error('no secret')\nmodule.exports = { f: (a) => a }"
    declared = [package_pb2.Function(name="f", convention=execution_pb2.CONVENTION_INPUT)]
    made = polycall.deploy(
        "native-js-declared", {"main.js": source}, functions=declared, language="javascript", env={"SECRET": "s"}
    )
    assert (made.error, made.functions[0].entrypoint) == ("", "main.js:f")
    request = execution_service_pb2.RunFunctionRequest(
        function="packages/native-js-declared/functions/f", input_json="[1]"
    )
    assert polycall.executions.RunFunction(request, metadata=polycall.metadata, timeout=S).output_json == "[1]"


def test_the_functions_of_a_script_are_found_though_it_exports_nothing(polycall: Server) -> None:
    source = (
        "// function no() {}\nfunction greet(name) { function inner() {} return `hi ${name}` }\nconst _own = () => 1"
    )
    request = package_service_pb2.AnalyzeSourceRequest(
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.js", contents=source.encode())]),
        language=execution_pb2.LANGUAGE_JAVASCRIPT,
    )
    answer = polycall.packages.AnalyzeSource(request, metadata=polycall.metadata, timeout=S)
    assert [function.name for function in answer.functions] == ["greet"]
