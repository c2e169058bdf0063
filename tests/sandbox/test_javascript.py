"""How JavaScript and TypeScript are called, and what they give back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polycall.domain import Convention, InputFile, Reason
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.javascript import js, node_script, ts
from tests.sandbox.programs import limits, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADA = {"name": "Ada"}


@pytest.mark.levels(3, 2, 1, 0)
async def test_a_function_is_called_at_every_level(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(js("function execute(input) { console.log('hi'); return { hello: input.name } }", ADA))
    assert (outcome.value, outcome.stdout, outcome.stderr) == (b'{"hello":"Ada"}', b"hi\n", b"")
    outcome = await sandbox.run(ts("enum Is { a = 1 }\nexport const execute = (n: number): number => n + Is.a", 41))
    assert outcome.value == b"42"


@pytest.mark.parametrize(
    "code",
    [
        "function execute(input) { return input.name }",
        "async function execute(input) { return input.name }",
        "const execute = (input) => input.name",
        "let execute = async function (input) { return input.name }",
        "execute = (input) => input.name",  # a sloppy script: this makes a global
        "'use strict'; function execute(input) { return input.name }",
        "export function execute(input) { return input.name }",
        "export const execute = async (input) => input.name",
        "export default function (input) { return input.name }",
        "export default (input) => input.name",
        "export default { execute: (input) => input.name }",
        "function run(input) { return input.name }\nexport { run as execute }",
        "import os from 'node:os'\nfunction execute(input) { return os.EOL && input.name }",
        "const name = await Promise.resolve('Ada')\nfunction execute() { return name }",
        "const name = await (async () => 'Ada')()\nfunction execute() { return name }",
        "async function execute(input) { return await (async () => input.name)() }\nimplicit = 1",
        "#!/usr/bin/env deno\nfunction execute(input) { return input.name }",
        "module.exports = { execute: (input) => input.name }",
        "module.exports = { execute }\nfunction execute(input) { return input.name }",
        "module.exports = (input) => input.name",
        "exports.execute = (input) => input.name",
        "class A { static execute(input) { return this.of(input) } static of({ name }) { return name } }\n"
        "module.exports = A",
        "var execute; { execute = (input) => input.name }",
    ],
)
async def test_execute_may_be_written_in_many_ways(sandbox: Sandbox, code: str) -> None:
    assert value(await sandbox.run(js(code, ADA))) == "Ada"


@pytest.mark.parametrize(
    "code",
    [
        "interface In { name: string }\nfunction execute(input: In): string { return input.name }",
        "export async function execute({ name }: { name: string }): Promise<string> { return name }",
        "namespace N { export const of = (x: { name: string }) => x.name }\nexport default (input: any) => N.of(input)",
        "enum E { Ada = 'Ada' }\nconst execute = () => E.Ada",
        "class P { constructor(private readonly name: string) {} get() { return this.name } }\n"
        "export const execute = (input: any) => new P(input.name).get()",
        "module.exports = { execute: <T extends { name: string }>(input: T) => input.name as string }",
        "const input: any = { name: 'Ada' } satisfies object\nexport function execute(): string { return input!.name }",
    ],
)
async def test_typescript_is_taken_as_it_is_written(sandbox: Sandbox, code: str) -> None:
    assert value(await sandbox.run(ts(code, ADA))) == "Ada"


async def test_files_of_a_bundle_import_each_other(sandbox: Sandbox) -> None:
    files = {
        "main.ts": "import { twice } from './lib/twice.ts'\nimport data from './data.json' with { type: 'json' }\n"
        "export const execute = (n: number) => twice(n) + data.one",
        "lib/twice.ts": "import { one } from '../one.js'\nexport const twice = (n: number): number => n * 2 * one",
        "one.js": "export const one = 1",
        "data.json": '{"one": 1}',
    }
    assert value(await sandbox.run(ts(files, 4))) == 9
    files = {
        "main.js": "const { twice } = require('./lib/twice')\nexports.execute = (n) => twice(n) + require('./data').i",
        "lib/twice.js": "const one = require('../one.js')\nexports.twice = (n) => n * 2 * one()",
        "one.js": "module.exports = () => 1",
        "data.json": '{"i": 1}',
    }
    assert value(await sandbox.run(js(files, 4))) == 9
    files = {
        "main.js": "exports.execute = async () => (await import('./later.mjs')).x",
        "later.mjs": "export let x = 1",
    }
    assert value(await sandbox.run(js(files))) == 1


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [("src/add:add", 3), ("src/add.js:add", 3), ("src/add:nested.add", 4), ("other.mjs:default", 5), ("name:name", 6)],
)
async def test_an_entry_point_names_a_module_and_what_is_in_it(
    sandbox: Sandbox, entrypoint: str, expected: int
) -> None:
    files = {
        "src/add.js": "const add = (a) => a + 1\nconst nested = { one: 2, add(a) { return a + this.one } }",
        "other.mjs": "export default (a) => a + 3",
        "name.mjs": "const name = (a) => a + 4",
    }
    assert value(await sandbox.run(js(files, 2, entrypoint=entrypoint))) == expected


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("function execute(a, b = 5) { return [a, b] }", {"b": 2, "a": 1}, [1, 2]),
        ("function execute(a, b = 5) { return [a, b] }", {"a": 1}, [1, 5]),
        ("async (a /* , x */, b = ',)') => [a, b]", {"a": 1}, [1, ",)"]),
        ("function execute({ a, b }) { return [a, b] }", {"b": 2, "a": 1}, [1, 2]),
        ("function execute(options) { return options }", {"b": 2}, {"b": 2}),
        ("function execute(b) { return b }", {"b": 2}, 2),
        ("b => b", {"b": 2}, 2),
        ("function execute() { return arguments.length }", {}, 0),
        ("(a, ...rest) => [a, rest]", {"a": 1}, [{"a": 1}, []]),
    ],
)
async def test_keywords_go_to_the_parameters_of_their_name(
    sandbox: Sandbox, code: str, given: Any, expected: Any
) -> None:
    code = code if code.startswith("function") else f"const execute = {code}"
    assert value(await sandbox.run(js(code, given, convention=Convention.KEYWORDS))) == expected


async def test_a_keyword_that_no_parameter_has_is_an_error(sandbox: Sandbox) -> None:
    code = "function execute(a, b) { return 1 }"
    outcome = await sandbox.run(js(code, {"a": 1, "c": 2}, convention=Convention.KEYWORDS))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("TypeError", "execute() got an unexpected argument 'c'")
    outcome = await sandbox.run(js(code, [1], convention=Convention.KEYWORDS))
    assert outcome.error is not None
    assert outcome.error.message == "the input must be a JSON object (arguments by name), got an array"


async def test_parameters_are_bound_by_name_and_passed_in_order(sandbox: Sandbox) -> None:
    code = "function execute(...all) { return all }"
    given = {"b": 2, "a": 1, "x": 9}
    asked = js(code, given, convention=Convention.PARAMETERS, parameters=("a", "missing", "b"))
    assert value(await sandbox.run(asked)) == [1, None, 2]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("undefined", b""),
        ("null", b"null"),
        ("[undefined, { a: undefined, b: 1 }]", b'[null,{"b":1}]'),
        ("new Date(0)", b'"1970-01-01T00:00:00.000Z"'),
        ("({ toJSON: () => 'own' })", b'"own"'),
        ("[1.0, 2.5, 1e21, -0]", b"[1,2.5,1e+21,0]"),
        ("'\u00fcn\u00efc\u00f8de \U0001f600'", '"\u00fcn\u00efc\u00f8de \U0001f600"'.encode()),
        ("new (class P { x = 1 })", b'{"x":1}'),
    ],
)
async def test_results_are_what_json_stringify_makes_of_them(
    sandbox: Sandbox, expression: str, expected: bytes
) -> None:
    outcome = await sandbox.run(js(f"const execute = () => ({expression})"))
    assert (outcome.ending, outcome.value) == (Ending.RETURNED, expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("NaN", "The number NaN is not JSON serializable"),
        ("[{ a: Infinity }]", "The number Infinity is not JSON serializable"),
        ("10n", "Do not know how to serialize a BigInt"),
        ("() => 1", "A function is not JSON serializable"),
        ("({ a: () => 1 })", "A function is not JSON serializable"),
        ("Symbol('s')", "A symbol is not JSON serializable"),
        ("new Map([[1, 2]])", "Object of type Map is not JSON serializable"),
        ("[new Set()]", "Object of type Set is not JSON serializable"),
        ("new Uint8Array(3)", "Object of type Uint8Array is not JSON serializable"),
        ("new Error('x')", "Object of type Error is not JSON serializable"),
        ("'\\ud800'", "A string holds a lone surrogate, which JSON text cannot hold."),
        ("(() => { const a = {}; a.a = a; return a })()", "Converting circular structure to JSON"),
        (
            "(() => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a })()",
            "The result is nested too deeply",
        ),
        ("({ toJSON() { throw new Error('no JSON') } })", "no JSON"),
    ],
)
async def test_what_json_cannot_hold_is_said(sandbox: Sandbox, expression: str, message: str) -> None:
    outcome = await sandbox.run(js(f"const execute = () => ({expression})"))
    assert (outcome.ending, outcome.exit_code) == (Ending.NOT_SERIALIZABLE, 0)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.OUTPUT_NOT_SERIALIZABLE
    assert outcome.error.message.startswith(message)


async def test_a_result_has_a_size(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(js("const execute = (n) => 'x'.repeat(n)", 1000, limits=limits(result_bytes=1002)))
    assert outcome.ending is Ending.RETURNED
    outcome = await sandbox.run(js("const execute = (n) => 'x'.repeat(n)", 1001, limits=limits(result_bytes=1002)))
    assert outcome.ending is Ending.RESULT_TOO_LARGE
    outcome = await sandbox.run(js("const execute = (n) => '\u00fc'.repeat(n)", 501, limits=limits(result_bytes=1002)))
    assert outcome.ending is Ending.RESULT_TOO_LARGE


async def test_large_inputs_and_results_pass(sandbox: Sandbox) -> None:
    text = "\u00fc\U0001f600" * 150_000
    outcome = await sandbox.run(js("const execute = (input) => input", text, limits=limits(result_bytes=4 << 20)))
    assert json.loads(outcome.value or b"") == text


async def test_env_files_and_the_working_directory_are_as_for_python(sandbox: Sandbox) -> None:
    code = """
    const execute = () => ({
      env: process.env.COLOUR, all: Object.keys(Deno.env.toObject()).sort(), home: Deno.env.get("HOME"),
      cwd: process.cwd(), file: Deno.readTextFileSync("in/a.txt"),
      same: require("fs").readFileSync("/mnt/req/in/a.txt", "utf8"),
    })
    """
    files = (InputFile("in/a.txt", b"content"),)
    assert value(await sandbox.run(js(code, env={"COLOUR": "blue"}, files=files))) == {
        "env": "blue",
        "all": ["COLOUR", "HOME", "LANG", "NO_COLOR", "PATH", "TMPDIR", "TZ"],
        "home": "/mnt/tmp",
        "cwd": "/mnt/req",
        "file": "content",
        "same": "content",
    }


async def test_a_script_has_stdin_arguments_and_an_exit_code(sandbox: Sandbox) -> None:
    code = """
    const text = require("fs").readFileSync(0, "utf8")
    console.log(text, Deno.args, process.argv.slice(2), require.main === module)
    console.error("to stderr")
    process.exitCode = 3
    setTimeout(() => console.log("later"), 5)
    """
    outcome = await sandbox.run(node_script(code, stdin=b"in", args=("a", "b")))
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, 3)
    assert outcome.stdout == b'in [ "a", "b" ] [ "a", "b" ] true\nlater\n'
    assert outcome.stderr == b"to stderr\n"


async def test_a_script_may_be_a_module(sandbox: Sandbox) -> None:
    code = """
    if (import.meta.main) for await (const part of process.stdin) console.log(String(part))
    const lines: string[] = (await new Response(Deno.stdin.readable).text()).split("\\n")
    console.log(lines)
    """
    outcome = await sandbox.run(node_script(code, "main.ts", stdin=b"a\nb"))
    assert (outcome.ending, outcome.exit_code, outcome.stderr) == (Ending.EXITED, 0, b"")
    assert outcome.stdout == b'a\nb\n[ "" ]\n'


@pytest.mark.parametrize(
    ("code", "exit_code", "stderr"),
    [
        ("console.log(1)", 0, b""),
        ("Deno.exit(7)", 7, b""),
        ("process.exit(8)", 8, b""),
        ("\nthrow new TypeError('no')", 1, b"TypeError: no\n    at main.js:2:7\n"),
        ("Promise.reject(new Error('late'))", 1, b"Error: late\n    at main.js:1:16\n"),
        ("setTimeout(() => { throw new Error('later') })", 1, b"Error: later\n    at main.js:1:26\n"),
    ],
)
async def test_a_script_ends_as_a_program_does(sandbox: Sandbox, code: str, exit_code: int, stderr: bytes) -> None:
    outcome = await sandbox.run(node_script(code))
    assert (outcome.ending, outcome.exit_code) == (Ending.EXITED, exit_code)
    assert outcome.stderr.replace(b"Timeout._onTimeout (main.js:1:26)", b"main.js:1:26") == stderr


async def test_a_script_may_say_to_a_shell_what_runs_it(sandbox: Sandbox) -> None:
    for file in ("main.js", "main.ts"):
        outcome = await sandbox.run(node_script("#!/usr/bin/env deno\nthrow new Error('no')", file))
        assert outcome.stderr.decode() == f"Error: no\n    at {file}:2:7\n"


async def test_what_is_printed_is_there_before_the_answer(sandbox: Sandbox) -> None:
    code = """
    const execute = () => {
      console.log("one"); process.stdout.write("two\\n"); console.error("three"); process.stderr.write("four\\n")
      Deno.stdout.writeSync(new TextEncoder().encode("five\\n"))
    }
    """
    outcome = await sandbox.run(js(code))
    assert (outcome.ending, outcome.stdout, outcome.stderr) == (
        *(Ending.RETURNED, b"one\ntwo\nfive\n", b"three\nfour\n"),
    )
