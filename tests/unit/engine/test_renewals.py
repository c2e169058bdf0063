"""What is in use is looked up anew before it is too old, once at a time, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time

from polycall.engine.renewals import CACHE_S, Renewals
from polycall.errors import Unavailable


async def test_only_what_is_half_as_old_as_it_may_be_is_looked_up_and_once_at_a_time() -> None:
    renewals = Renewals()
    go = asyncio.Event()
    looked: list[str] = []

    async def look_up(key: str) -> None:
        looked.append(key)
        await go.wait()

    now = time.monotonic()
    renewals.use("fresh", now + CACHE_S, lambda: look_up("fresh"))
    for _ in range(3):
        renewals.use("old", now + CACHE_S / 3, lambda: look_up("old"))
    await asyncio.sleep(0)
    assert looked == ["old"]
    go.set()
    await asyncio.sleep(0.01)
    renewals.use("old", now + CACHE_S / 3, lambda: look_up("old"))
    await asyncio.sleep(0)
    assert looked == ["old", "old"]
    await renewals.close()


async def test_while_the_database_is_away_it_is_not_asked_at_every_use() -> None:
    renewals = Renewals()
    looked = 0

    async def look_up() -> None:
        nonlocal looked
        looked += 1
        raise Unavailable("away")

    for _ in range(5):
        renewals.use("old", time.monotonic(), look_up)
        await asyncio.sleep(0.005)
    assert looked == 1
    await renewals.close()
