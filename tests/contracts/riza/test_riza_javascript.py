"""JavaScript and TypeScript through Riza's contract: sections 6.1 to 6.3 of it."""

from __future__ import annotations

from typing import Any

import pytest
from rizaio import Riza as Client

from tests.contracts.riza.driver import Riza

JOHN = {"name": "John"}
_MIB = 1 << 20


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "function execute(input) { return { name: input.name, executed: true } }"),
        ("javascript", "async function execute(input) { return { name: input.name, executed: true } }"),
        ("javascript", "const execute = (input) => ({ name: input.name, executed: true })"),
        ("javascript", "export function execute(input) { return { name: input.name, executed: true } }"),
        ("javascript", "export default function (input) { return { name: input.name, executed: true } }"),
        ("javascript", "module.exports = { execute: (input) => ({ name: input.name, executed: true }) }"),
        ("typescript", "function execute(input: { name: string }) { return { name: input.name, executed: true } }"),
        (
            "TYPESCRIPT",
            "enum B { y = 1 }\nexport const execute = async (i: any) => ({ name: i.name, executed: !!B.y })",
        ),
    ],
)
def test_the_vendors_sdk_calls_execute_however_it_is_written(riza: Riza, language: Any, code: str) -> None:
    with Client(api_key=riza.key, base_url=riza.server.rest, _strict_response_validation=True) as client:
        answer = client.command.exec_func(code=code, language=language, input=JOHN)
    assert (answer.output, answer.output_status) == ({"name": "John", "executed": True}, "valid")
    assert (answer.execution.exit_code, answer.execution.stderr) == (0, "")


@pytest.mark.parametrize(
    ("body", "ending", "last_line"),
    [
        ("", ("valid", 0), ""),
        ("return undefined", ("valid", 0), ""),
        (
            "return 10n",
            ("json_serialization_error", 0),
            "output is not JSON serializable: Do not know how to serialize a BigInt",
        ),
        (
            "return NaN",
            ("json_serialization_error", 0),
            "output is not JSON serializable: The number NaN is not JSON serializable",
        ),
        (
            "return () => 1",
            ("json_serialization_error", 0),
            "output is not JSON serializable: A function is not JSON serializable",
        ),
        (
            "return new Set([1])",
            ("json_serialization_error", 0),
            "output is not JSON serializable: Object of type Set is not JSON serializable",
        ),
        ("throw new TypeError('no')", ("error", 1), "    at execute (main.js:1:33)"),
        ("process.exit(7)", ("error", 7), ""),
        ("for (;;);", ("error", 124), "execution timed out after 1 s (limits.execution_timeout)"),
        (
            "const a = []; for (;;) a.push([a.length])",
            ("error", 137),
            "killed: out of memory (limits.memory_size = 32 MiB)",
        ),
    ],
)
def test_what_happens_is_told_as_the_contract_has_it(
    riza: Riza, body: str, ending: tuple[str, int], last_line: str
) -> None:
    timeout = 1 if "for (;;);" in body else 30
    result = riza.run(
        f"function execute(input) {{ {body} }}",
        language="javascript",
        limits={"execution_timeout": timeout, "memory_size": 32},
    )
    assert (result.ending, result.output) == (ending, None)
    assert (result.stderr.splitlines() or [""])[-1] == last_line


def test_no_execute_is_an_error_of_the_code(riza: Riza) -> None:
    result = riza.run("const other = 1", language="javascript")
    assert (result.ending, result.last_line) == (("error", 1), "ReferenceError: execute is not defined")
    result = riza.run("const = 1", language="typescript")
    assert result.ending == ("error", 1)


def test_env_files_and_output_are_the_codes(riza: Riza) -> None:
    code = """
    function execute() {
      console.log("out"); console.error("err")
      return [process.env.A, Deno.readTextFileSync("/mnt/req/in/f"), "DENO_DIR" in Deno.env.toObject()]
    }
    """
    result = riza.run(code, language="javascript", env={"A": "b"}, files=[{"path": "in/f", "contents": "c"}])
    assert (result.output, result.stdout, result.stderr) == (["b", "c", False], "out\n", "err\n")


@pytest.mark.parametrize(
    "code",
    [
        "console.log(process.stdin.split('\\n'), process.argv.slice(2)); console.error('e'); process.exit(3)",
        "console.log((await new Response(process.stdin).text()).split('\\n'), Deno.args)\n"
        "console.error('e'); Deno.exit(3)",
    ],
)
def test_a_script_reads_its_stdin_as_a_string_or_as_a_stream(riza: Riza, code: str) -> None:
    result = riza.script(code, language="javascript", stdin="a\nb", args=["x", "y z"])
    assert (result.exit_code, result.stdout, result.stderr) == (3, '[ "a", "b" ] [ "x", "y z" ]\n', "e\n")


def test_a_typescript_script_may_await_at_its_top(riza: Riza) -> None:
    code = "const n: number = await Promise.resolve(4)\nif (import.meta.main) console.log(n)"
    result = riza.script(code, language="typescript")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "4\n", "")


def test_a_large_stdin_is_delivered_whole(riza: Riza) -> None:
    code = "console.log(require('fs').readFileSync(0, 'utf8').length)"
    assert riza.script(code, language="javascript", stdin="x" * (5 * _MIB)).stdout == f"{5 * _MIB}\n"
