"""Puts jobs into a rival's queue, with that rival's own client; runs in the rival's environment.

Reads a plan as JSON from standard input: `kind`, `address`, `callers` and `seconds` for closed loops, or `rate` and
`count` for one caller that sends at random times (a Poisson process). Writes what it measured as JSON. Every job is
told when it was sent, on the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Send = Callable[[], Awaitable[None]]


def stamp() -> str:
    """Return the time as a job is told it."""
    return str(time.monotonic_ns())


async def pgqueuer(address: str, callers: int) -> Send:
    """Return what enqueues a job of pgqueuer; it is committed by then."""
    import asyncpg  # of its environment only, as the next one
    from pgqueuer.db import AsyncpgPoolDriver
    from pgqueuer.queries import Queries

    pool = await asyncpg.create_pool(address, min_size=min(callers, 10), max_size=min(callers, 10))
    queries = Queries(AsyncpgPoolDriver(pool))

    async def send() -> None:
        await queries.enqueue("noop", stamp().encode())

    return send


async def celery(address: str, callers: int) -> Send:
    """Return what sends a task of Celery; the broker has it by then."""
    from celery import Celery

    app = Celery("bench", broker=address)
    app.conf.task_ignore_result = True
    threads = ThreadPoolExecutor(callers)

    async def send() -> None:
        await asyncio.get_running_loop().run_in_executor(
            threads, lambda: app.send_task("noop", args=[stamp()], ignore_result=True)
        )

    return send


async def main() -> None:
    """Do what the plan says."""
    plan = json.load(sys.stdin)
    callers = plan.get("callers", 1)
    send = await {"pgqueuer": pgqueuer, "celery": celery}[plan["kind"]](plan["address"], callers)
    for _ in range(callers):
        await send()  # connections are made
    cpu, begun = time.process_time(), time.perf_counter()
    latencies = await (_paced(send, plan) if "rate" in plan else _closed(send, callers, plan["seconds"]))
    told: dict[str, Any] = {
        "latencies": latencies,
        "seconds": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
        "warm_up": callers,
    }
    json.dump(told, sys.stdout)


async def _closed(send: Send, callers: int, seconds: float) -> list[float]:
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        while (since := time.perf_counter()) < until:
            await send()
            latencies.append(time.perf_counter() - since)

    await asyncio.gather(*(one() for _ in range(callers)))
    return latencies


async def _paced(send: Send, plan: dict[str, Any]) -> list[float]:
    latencies = []
    times = random.Random(plan["seed"])
    at = time.perf_counter()
    for _ in range(plan["count"]):
        at += times.expovariate(plan["rate"])
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        since = time.perf_counter()
        await send()
        latencies.append(time.perf_counter() - since)
    return latencies


if __name__ == "__main__":
    asyncio.run(main())
