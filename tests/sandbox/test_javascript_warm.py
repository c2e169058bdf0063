"""Warm workers and fresh processes of JavaScript: as for Python."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polycall.domain import InputFile, StartKind
from polycall.sandbox.job import Ending, Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.javascript import js
from tests.sandbox.programs import key, limits, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = """
const me = crypto.randomUUID()
let calls = 0
export async function execute(input) {
  calls += 1
  if (input === "exit") Deno.exit(3)
  if (input === "raise") throw new Error("raised")
  if (input === "hang") await new Promise((r) => setTimeout(r, 60000))
  if (input === "spin") for (;;);
  if (input === "reject") { Promise.reject(new Error("x")); await new Promise((r) => setTimeout(r, 60000)) }
  return [me, calls]
}
export const other = () => [me, calls]
"""


async def count(sandbox: Sandbox, name: str, value: Any = None, **changes: Any) -> Outcome:
    return await sandbox.run(js(COUNT, value, key=key(name), **changes))


@pytest.mark.levels(3, 2, 1)
async def test_a_worker_is_reused_and_keeps_its_state(sandbox: Sandbox) -> None:
    outcomes = [await count(sandbox, "js-reuse") for _ in range(3)]
    assert [value(outcome)[1] for outcome in outcomes] == [1, 2, 3]
    assert len({value(outcome)[0] for outcome in outcomes}) == 1
    assert outcomes[0].start_kind in (StartKind.FORKED, StartKind.COLD)
    assert [outcome.start_kind for outcome in outcomes[1:]] == [StartKind.WARM] * 2
    again = await count(sandbox, "js-reuse", entrypoint="main.js:other")
    assert (value(again), again.start_kind) == (value(outcomes[2]), StartKind.WARM)


async def test_an_exception_keeps_the_worker(sandbox: Sandbox) -> None:
    assert (await count(sandbox, "js-raise", "raise")).ending is Ending.RAISED
    assert value(await count(sandbox, "js-raise"))[1] == 2


@pytest.mark.parametrize("how", ["exit", "hang", "spin", "reject"])
async def test_a_worker_that_is_not_what_it_was_is_not_reused(sandbox: Sandbox, how: str) -> None:
    name = f"js-odd-{how}"
    assert value(await count(sandbox, name))[1] == 1
    await count(sandbox, name, how, limits=limits(timeout_ms=300) if how in ("hang", "spin") else limits())
    outcome = await count(sandbox, name)
    assert value(outcome)[1] == 1
    assert outcome.start_kind is not StartKind.WARM


async def test_a_cancelled_call_loses_its_worker(sandbox: Sandbox) -> None:
    first = value(await count(sandbox, "js-cancel"))
    begun = asyncio.Event()
    task = asyncio.create_task(sandbox.run(js(COUNT, "hang", key=key("js-cancel")), begun=begun.set))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = value(await count(sandbox, "js-cancel"))
    assert (second[1], second[0] != first[0]) == (1, True)


async def test_programs_of_one_worker_keep_their_own_names(sandbox: Sandbox) -> None:
    files = {
        "a.js": "const mine = 'a'; function execute() { return mine }",
        "b.js": "const mine = 'b'; function execute() { return mine }",
    }
    for name in ("a", "b", "a"):
        assert value(await sandbox.run(js(files, key=key("js-names"), entrypoint=f"{name}.js:execute"))) == name


async def test_a_module_that_failed_to_load_is_tried_again(sandbox: Sandbox) -> None:
    code = "globalThis.tries = (globalThis.tries ?? 0) + 1\nif (tries === 1) throw new Error('not yet')\n"
    code += "module.exports = () => tries"
    first = await sandbox.run(js(code, key=key("js-retry")))
    assert first.ending is Ending.RAISED
    assert value(await sandbox.run(js(code, key=key("js-retry")))) == 2


@pytest.mark.levels(3, 2, 1)
async def test_fresh_runs_share_nothing(sandbox: Sandbox) -> None:
    code = """
    async function execute(input) {
      const files = [...Deno.readDirSync(".")].map((entry) => entry.name)
      const seen = [globalThis.left, files, Deno.env.get("LEFT"), Object.prototype.x]
      globalThis.left = input
      Object.prototype.x = input
      Deno.writeTextFileSync("left", input)
      Deno.env.set("LEFT", input)
      return JSON.parse(JSON.stringify(seen))
    }
    """
    for name in ("one", "two", "three"):
        outcome = await sandbox.run(js(code, name))
        assert value(outcome) == [None, [], None, None]
        assert outcome.start_kind is not StartKind.WARM


async def test_a_worker_keeps_its_place_with_input_files_of_each_call(sandbox: Sandbox) -> None:
    code = "const execute = () => [...Deno.readDirSync('.')].map((e) => e.name)"
    for name in ("a", "b"):
        files = (InputFile(name, b""),)
        assert value(await sandbox.run(js(code, key=key("js-files"), files=files))) == [name]


async def test_a_program_can_be_loaded_before_its_first_call(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(js(COUNT, key=key("js-ready"), load_only=True))
    assert (outcome.ending, outcome.value) == (Ending.RETURNED, b"null")
    outcome = await count(sandbox, "js-ready")
    assert (value(outcome)[1], outcome.start_kind) == (1, StartKind.WARM)
