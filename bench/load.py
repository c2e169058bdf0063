"""The load tool: closed loop, or paced, on one event loop; every answer is checked."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Call", "Sample", "closed_loop", "fixed_loop_ms", "load_average", "paced"]

Call = Callable[[int], Awaitable[None]]  # makes the request of that number and raises if the answer is not its own


@dataclass(frozen=True, slots=True)
class Sample:
    """Latencies of one measurement, sorted, in seconds."""

    latencies: tuple[float, ...]
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed, in milliseconds."""
        index = min(len(self.latencies) - 1, int(len(self.latencies) * share))
        return self.latencies[index] * 1000


async def closed_loop(call: Call, *, concurrency: int, seconds: float) -> Sample:
    """Keep ``concurrency`` requests in flight; the next one leaves when an answer comes."""
    latencies: list[float] = []
    begun = time.perf_counter()
    until = begun + seconds
    numbers = iter(range(1 << 62))

    async def client() -> None:
        while time.perf_counter() < until:
            number = next(numbers)
            since = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - since)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())
    return Sample(tuple(sorted(latencies)), time.perf_counter() - begun)


async def paced(call: Call, *, count: int, pause: float) -> Sample:
    """Make one request at a time with a pause before each: what a caller sees who is alone."""
    latencies: list[float] = []
    begun = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(pause)
        since = time.perf_counter()
        await call(number)
        latencies.append(time.perf_counter() - since)
    return Sample(tuple(sorted(latencies)), time.perf_counter() - begun)


def fixed_loop_ms() -> float:
    """Return how long a fixed piece of Python takes: if it varies, the machine was busy with something else."""
    since = time.perf_counter()
    total = 0
    for number in range(500_000):
        total += number & 7
    return (time.perf_counter() - since) * 1000


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]
