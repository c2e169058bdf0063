"""Everything at once, in an order that nobody has thought of: whatever happens, each execution has one true end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter

import pytest

from polycall.domain import Execution, ExecutionKind, ExecutionState
from polycall.engine.live import Finished
from polycall.engine.requests import RunOptions
from polycall.errors import DeadlineExceeded, QueueFull
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, House, ad_hoc, function, until


def code(number: int, seconds: float) -> str:
    return (
        f"import time\ndef execute(input):\n    print({number}, flush=True)\n    time.sleep({seconds}); return {number}"
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_each_execution_has_one_true_end(build: Build, seed: int) -> None:
    chance = random.Random(seed)
    async with build(slots=3, queue=6, call_slots=2) as home:
        await home.deploy()
        home.work()
        answers: list[Execution] = []
        numbers = iter(range(90))

        async def client() -> None:
            for number in numbers:
                with contextlib.suppress(QueueFull, DeadlineExceeded, asyncio.CancelledError):
                    answers.append(await _something(home, chance, number))
                await asyncio.sleep(chance.random() * 0.005)

        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(client())
        await until(lambda: _settled(home))
        records = {record.id: record for record in await home.records()}
        assert all(record.state.final for record in records.values())
        for answer in answers:
            if answer.kind is ExecutionKind.SYNC:
                assert records[answer.id] == answer
        for record in records.values():
            if record.state is ExecutionState.COMPLETED:
                assert record.result is not None
                assert record.stdout.split()[:1] in ([record.result], [b"begun"])
            assert (record.error is None) == (record.state is ExecutionState.COMPLETED)
        repeated = Counter(record.request_id for record in records.values() if record.request_id is not None)
        assert set(repeated.values()) <= {1}
        states = Counter(record.state for record in records.values())
        assert states[ExecutionState.COMPLETED] > 0
        assert states[ExecutionState.CANCELLED] > 0
        assert ExecutionState.FAILED not in states


async def _settled(home: House) -> bool:
    return len(home.engine.live) == 0 and all(record.state.final for record in await home.records())


async def _something(home: House, chance: random.Random, number: int) -> Execution:
    seconds = chance.choice((0, 0, 0.01, 0.05))
    kind = chance.choice(("run", "gone", "cancel", "late", "repeat", "call", "stream"))
    if kind == "call":
        call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": %d}' % number))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * 0.1)
            await home.engine.executions.cancel(DEFAULT, call.id)
        return await home.engine.executions.wait(DEFAULT, call.id, 20)
    options = RunOptions(
        expires_at=time.monotonic() + 0.05 if kind == "late" else None,
        request_id=f"id-{number // 7}" if kind == "repeat" else None,
    )
    if kind == "stream":
        return await _followed(home, chance, code(number, seconds))
    run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(code(number, seconds)), options))
    if kind in ("gone", "repeat") and chance.random() < 0.6:
        await asyncio.sleep(chance.random() * 0.06)
        run.cancel()
    if kind == "cancel":
        await asyncio.sleep(chance.random() * 0.06)
        for live in home.engine.live.all():
            if live.execution.kind is ExecutionKind.SYNC:
                await home.engine.executions.cancel(DEFAULT, live.execution.id)
                break
    return await run


async def _followed(home: House, chance: random.Random, source: str) -> Execution:
    """Follow a run to its end, or leave it on the way."""
    events = home.engine.stream_execute(DEFAULT, ad_hoc(source))
    async with contextlib.aclosing(events):  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Finished):
                return event.execution
            if chance.random() < 0.3:
                raise asyncio.CancelledError
    raise AssertionError("it has no end")
