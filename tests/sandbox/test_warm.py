"""Warm workers: one program, one call at a time, never reused when anything was odd."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from polycall.domain import StartKind
from polycall.sandbox.job import Ending, Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.programs import HELD, WAIT, all_at_once, job, key, limits, value

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.levels(3, 2, 1)]

COUNT = """
    import os, secrets
    me, calls = secrets.token_hex(8), 0
    def execute(input):
        global calls
        calls += 1
        if input == 'exit': os._exit(3)
        if input == 'raise': raise ValueError
        if input == 'hang': import time; time.sleep(60)
        if input == 'close': os.close(1)
        return [me, calls]
"""


async def count(sandbox: Sandbox, name: str, value: Any = None, **changes: Any) -> Outcome:
    return await sandbox.run(job(COUNT, value, key=key(name), **changes))


async def test_a_worker_is_reused_and_keeps_its_state(sandbox: Sandbox) -> None:
    outcomes = [await count(sandbox, "reuse") for _ in range(3)]
    assert [value(outcome)[1] for outcome in outcomes] == [1, 2, 3]
    assert len({value(outcome)[0] for outcome in outcomes}) == 1
    assert outcomes[0].start_kind in (StartKind.FORKED, StartKind.COLD)
    assert [outcome.start_kind for outcome in outcomes[1:]] == [StartKind.WARM] * 2


async def test_an_exception_keeps_the_worker(sandbox: Sandbox) -> None:
    assert (await count(sandbox, "raise", "raise")).ending is Ending.RAISED
    assert value(await count(sandbox, "raise"))[1] == 2


@pytest.mark.parametrize("how", ["exit", "hang", "close"])
async def test_a_worker_that_is_not_what_it_was_is_not_reused(sandbox: Sandbox, how: str) -> None:
    name = f"odd-{how}"
    assert value(await count(sandbox, name))[1] == 1
    await count(sandbox, name, how, limits=limits(timeout_ms=300) if how == "hang" else limits())
    outcome = await count(sandbox, name)
    assert value(outcome)[1] == 1
    assert outcome.start_kind is not StartKind.WARM


async def test_a_cancelled_call_loses_its_worker(sandbox: Sandbox) -> None:
    first = value(await count(sandbox, "cancel"))
    begun = asyncio.Event()
    task = asyncio.create_task(sandbox.run(job(COUNT, "hang", key=key("cancel")), begun=begun.set))
    async with asyncio.timeout(60):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    second = value(await count(sandbox, "cancel"))
    assert second[1] == 1
    assert second[0] != first[0]


async def test_calls_at_the_same_time_have_workers_of_their_own(sandbox: Sandbox) -> None:
    code = f"{HELD}\nstate = []\ndef execute(i):\n    state.append(i)\n    {WAIT}\n    return [i, len(state)]"
    outcomes = await all_at_once(sandbox, [job(code, i, key=key("parallel")) for i in range(4)])
    assert [value(outcome) for outcome in outcomes] == [[i, 1] for i in range(4)]


@pytest.mark.parametrize(
    "difference",
    [
        {"key": key("other")},
        {"key": key("same", package="other")},
        {"key": key("same", project="other")},
        {"env": {"A": "1"}},
        {"limits": limits(memory_bytes=48 << 20)},
        {"limits": limits(open_files=100)},
        {"adapter": "x = 1"},
        {"code": COUNT + "\n    # another"},
    ],
    ids=["version", "package", "project", "env", "memory", "files", "adapter", "code"],
)
async def test_what_differs_at_load_is_never_shared(sandbox: Sandbox, difference: dict[str, Any]) -> None:
    same: dict[str, Any] = {"code": COUNT, "key": key("same")}
    first = value(await sandbox.run(job(**same)))
    other = value(await sandbox.run(job(**(same | difference))))
    assert other[0] != first[0]


async def test_what_differs_by_call_is_shared(sandbox: Sandbox) -> None:
    files: dict[str, Any] = {"code": COUNT + "\n    def other(input): return [me, calls]", "key": key("calls")}
    first = value(await sandbox.run(job(**files)))
    second = value(await sandbox.run(job(**files, entrypoint="main:other", limits=limits(timeout_ms=7000))))
    assert second == first


async def test_retiring_ends_the_idle_and_spares_other_packages(sandbox: Sandbox) -> None:
    async def at(version: str, package: str) -> Any:
        return value(await sandbox.run(job(COUNT, key=key(version, package=package))))

    for version, package in (("1", "a"), ("2", "a"), ("1", "b")):
        await at(version, package)
    await sandbox.retire("p", "a", "1")
    assert (await at("1", "a"))[1] == 1
    assert (await at("2", "a"))[1] == 2
    await sandbox.retire("p", "a")
    assert (await at("2", "a"))[1] == 1
    await sandbox.retire("other", "b")
    assert (await at("1", "b"))[1] == 2


async def test_retiring_a_busy_worker_waits_for_its_run(sandbox: Sandbox) -> None:
    code = COUNT.replace("return [me", "__import__('time').sleep(0.3); return [me")
    begun = asyncio.Event()
    task = asyncio.create_task(sandbox.run(job(code, key=key("busy")), begun=begun.set))
    async with asyncio.timeout(60):
        await begun.wait()
    await sandbox.retire("p", "k", "busy")
    assert value(await task)[1] == 1
    assert value(await sandbox.run(job(code, key=key("busy"))))[1] == 1
