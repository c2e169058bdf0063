"""How runs of JavaScript and TypeScript end: exceptions with the author's own lines, exits, limits."""

from __future__ import annotations

import pytest

from polycall.domain import Reason
from polycall.errors import RuntimeMissing
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.javascript import js, ts
from tests.sandbox.programs import MIB, limits, value

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_exception_shows_the_lines_of_the_source_and_no_others(sandbox: Sandbox) -> None:
    files = {
        "main.ts": "import { fail } from './lib/fail.ts'\n\ninterface In {\n  n: number\n}\nenum E { A }\n\n"
        "export async function execute(input: In): Promise<number> {\n  return fail<In>(input)\n}",
        "lib/fail.ts": "type T = {\n  x: number\n}\nexport class Failure extends Error {}\n"
        "export function fail<A>(a: A): number {\n  throw new Failure('no', { cause: new TypeError('why') })\n}",
    }
    outcome = await sandbox.run(ts(files, {"n": 1}))
    assert (outcome.ending, outcome.exit_code) == (Ending.RAISED, 1)
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.type, outcome.error.message) == (
        *(Reason.USER_EXCEPTION, "Failure", "no"),
    )
    assert outcome.error.traceback == (
        "Failure: no\n    at fail (lib/fail.ts:6:9)\n    at execute (main.ts:9:10)\n"
        "Caused by TypeError: why\n    at fail (lib/fail.ts:6:36)\n    at execute (main.ts:9:10)\n"
    )
    assert outcome.stderr.decode() == outcome.error.traceback


async def test_frames_of_the_language_stay_between_those_of_the_program(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(js("function execute() {\n  return [1].map((x) => {\n    return y\n  })\n}"))
    assert outcome.error is not None
    assert outcome.error.traceback == (
        "ReferenceError: y is not defined\n    at main.js:3:5\n    at Array.map (<anonymous>)\n"
        "    at execute (main.js:2:14)\n"
    )


@pytest.mark.parametrize(
    ("thrown", "kind", "message"),
    [
        ("new RangeError('r')", "RangeError", "r"),
        ("new (class MyError extends Error {})('m')", "MyError", "m"),
        ("Object.assign(new Error('n'), { name: 'Named' })", "Named", "n"),
        ("new DOMException('d', 'AbortError')", "AbortError", "d"),
        ("'text'", "String", "text"),
        ("{ code: 1 }", "Object", "{ code: 1 }"),
        ("null", "null", "null"),
        ("undefined", "undefined", "undefined"),
        ("Object.create(null)", "Object", "[Object: null prototype] {}"),
        ("new Proxy(new Error('p'), {})", "Error", "p"),
        ("new (class extends Error { get message() { throw 1 } })", "Error", "<an exception whose text"),
    ],
)
async def test_whatever_is_thrown_is_told(sandbox: Sandbox, thrown: str, kind: str, message: str) -> None:
    outcome = await sandbox.run(js(f"function execute() {{ throw {thrown} }}"))
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert outcome.error.type == kind
    assert outcome.error.message.startswith(message)


@pytest.mark.parametrize(
    ("name", "code", "message", "traceback"),
    [
        ("main.js", "function f() {\n  return (\n}", "Expression expected (main.js:3)", "    at main.js:3:1\n"),
        ("main.ts", "const a: number = ;", "Expression expected (main.ts:1)", "    at main.ts:1:19\n"),
        ("main.mjs", "\nimport x from './no.js'", 'Module not found "no.js". (main.mjs:2)', "    at main.mjs:2:15\n"),
        ("main.js", "import l from 'lodash'", 'Import "lodash" not a dependency (main.js:1)', "main.js:1:15\n"),
        (
            "main.mjs",
            "import x from 'https://example.com/x.js'",
            'Requires import access to "example.com:443", which',
            "main.mjs:1:15\n",
        ),
    ],
)
async def test_a_module_that_cannot_be_loaded_says_where(
    sandbox: Sandbox, name: str, code: str, message: str, traceback: str
) -> None:
    outcome = await sandbox.run(js({name: code}))
    assert (outcome.ending, outcome.exit_code) == (Ending.RAISED, 1)
    assert outcome.error is not None
    assert outcome.error.message.startswith(message)
    assert outcome.error.traceback.endswith(traceback)
    assert "/mnt" not in outcome.error.traceback


@pytest.mark.parametrize(
    ("code", "entrypoint", "message"),
    [
        ("function other() {}", "main.js:execute", "execute is not defined"),
        ("export const execute = 1", "main.js:execute", "execute is not a function"),
        ("", "main.js:fetch", "fetch is not defined"),  # what the runtime has is not the program's
        ("", "main.js:module", "module is not defined"),
        ("", "other.js:execute", "Cannot find module 'other.js'"),
    ],
)
async def test_an_entry_point_that_is_not_there_is_said_to_be_missing(
    sandbox: Sandbox, code: str, entrypoint: str, message: str
) -> None:
    outcome = await sandbox.run(js(code, entrypoint=entrypoint))
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert (outcome.error.reason, outcome.error.message) == (Reason.ENTRYPOINT_NOT_FOUND, message)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "() => { Promise.reject(new Error('lost')); return new Promise((r) => setTimeout(r, 60000)) }",
            "Error",
            "lost",
        ),
        (
            "() => { setTimeout(() => { throw new TypeError('late') }); return new Promise(() => {}) }",
            "TypeError",
            "late",
        ),
        ("() => new Promise(() => {})", "Error", "the function waits for something that cannot happen any more"),
        ("async () => { throw new RangeError('rejected') }", "RangeError", "rejected"),
    ],
)
async def test_what_nobody_catches_is_the_runs_failure(sandbox: Sandbox, code: str, kind: str, message: str) -> None:
    outcome = await sandbox.run(js(f"const execute = {code}"))
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == (kind, message)


@pytest.mark.parametrize(("code", "exit_code"), [("Deno.exit(3)", 3), ("process.exit(4)", 4), ("Deno.exit()", 0)])
async def test_a_function_that_ends_its_process_is_told_by_its_exit_code(
    sandbox: Sandbox, code: str, exit_code: int
) -> None:
    outcome = await sandbox.run(js(f"function execute() {{ console.log('bye'); {code} }}"))
    assert (outcome.ending, outcome.exit_code, outcome.stdout) == (Ending.EXITED, exit_code, b"bye\n")
    assert outcome.error is not None
    assert outcome.error.reason is Reason.USER_EXIT


@pytest.mark.levels(3, 2, 1)
@pytest.mark.parametrize("code", ["for (;;);", "return new Promise((r) => setTimeout(r, 60000))"])
async def test_time_is_limited(sandbox: Sandbox, code: str) -> None:
    outcome = await sandbox.run(js(f"function execute() {{ {code} }}", limits=limits(timeout_ms=300)))
    assert (outcome.ending, outcome.exit_code) == (Ending.TIMED_OUT, 137)


@pytest.mark.levels(3, 2, 1)
@pytest.mark.parametrize(
    "code",
    [
        "const a = []; for (;;) a.push({ x: [1, 2, a.length] })",
        "const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))",
    ],
    ids=["heap", "buffers"],
)
async def test_memory_is_limited(sandbox: Sandbox, code: str) -> None:
    outcome = await sandbox.run(js(f"function execute() {{ {code} }}"))
    assert outcome.ending is Ending.OUT_OF_MEMORY, outcome
    assert outcome.error is not None
    assert outcome.error.reason is Reason.OUT_OF_MEMORY


@pytest.mark.levels(3, 2, 1)
async def test_garbage_does_not_count_as_memory(sandbox: Sandbox) -> None:
    code = """
    function execute() {
      let n = 0
      for (let i = 0; i < 60; i++) {
        n += new Uint8Array(4 << 20).fill(1).length + JSON.stringify({ s: "x".repeat(1 << 20) }).length
      }
      for (let i = 0; i < 1e6; i++) n += { a: [i, i + 1], b: "x" + i }.b.length
      return n > 0
    }
    """
    assert value(await sandbox.run(js(code, limits=limits(memory_bytes=128 * MIB)))) is True


@pytest.mark.levels(3, 2, 1)
async def test_the_smallest_limits_leave_room_for_the_runtime(sandbox: Sandbox) -> None:
    least = limits(memory_bytes=16 * MIB, processes=1, open_files=16)
    code = """
    async function execute() {
      await Deno.writeTextFile("a", "b")
      return Promise.all([1, 2, 3, 4].map(() => Deno.readTextFile("a")))
    }
    """
    assert value(await sandbox.run(js(code, limits=least))) == ["b"] * 4


@pytest.mark.levels(3, 2)
async def test_disk_and_open_files_are_limited(sandbox: Sandbox) -> None:
    code = """
    const execute = ({ disk }) => {
      const kept = []
      const block = new Uint8Array(1 << 20)
      for (let i = 0; ; i++) {
        const file = Deno.openSync(`f${disk ? 0 : i}`, { create: true, write: true, append: true })
        if (disk) { file.writeSync(block); file.close() } else kept.push(file)
      }
    }
    """
    outcome = await sandbox.run(js(code, {"disk": True}))
    assert outcome.error is not None
    assert "No space left" in outcome.error.message or "File too large" in outcome.error.message
    outcome = await sandbox.run(js(code, {"disk": False}))
    assert outcome.error is not None
    assert "Too many open files" in outcome.error.message


async def test_output_is_cut_at_its_limit_and_a_flood_is_ended(sandbox: Sandbox) -> None:
    code = "function execute(n) { for (let i = 0; i < n; i++) console.log('x'.repeat(999)); return n }"
    outcome = await sandbox.run(js(code, 10, limits=limits(stdout_bytes=2500)))
    assert (outcome.ending, len(outcome.stdout), outcome.stdout_truncated) == (Ending.RETURNED, 2500, True)


@pytest.mark.levels(3, 2, 1)
@pytest.mark.parametrize(
    "code",
    [
        "Deno.readTextFileSync('/etc/passwd')",
        "require('fs').readFileSync('/proc/self/environ')",
        "Deno.readDirSync('/').next()",
        "new Deno.Command('/bin/ls').outputSync()",
        "require('child_process').execSync('ls')",
        "Deno.dlopen('libc.so.6', {})",
        "Deno.listen({ port: 0 })",
        "fetch('http://127.0.0.1:1/')",
        "new WebSocket('ws://127.0.0.1:1')",
        "Deno.writeTextFileSync('/mnt/out', '')",
        "Deno.writeTextFileSync('/proc/self/fd/12', 'x')",
        "import('https://example.com/x.js')",
        "import('file:///etc/passwd')",
        "Deno.kill(1, 'SIGKILL') ?? Deno.exit(9)",
    ],
)
async def test_what_a_function_has_no_business_with_is_refused(sandbox: Sandbox, code: str) -> None:
    if "Deno.kill" in code and sandbox.isolation >= 2:
        pytest.skip("process 1 is its own process, and cannot be killed from within")
    outcome = await sandbox.run(js(f"async function execute() {{ return await ({code}) }}"))
    assert outcome.ending is Ending.RAISED, outcome


async def test_without_deno_the_language_is_missing(tmp_path: object) -> None:
    sandbox = Sandbox(config(waiting=1, deno=f"{tmp_path}/no-deno"))
    await sandbox.start()
    try:
        assert sorted(sandbox.languages) == ["python"]
        with pytest.raises(RuntimeMissing, match="there is no Deno"):
            await sandbox.run(js("function execute() {}"))
    finally:
        await sandbox.stop()
