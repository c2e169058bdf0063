"""The supervisor of several server processes, and one of them that does not end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from polycall.config import load
from polycall.family import supervisor
from polycall.family.process import Process


class Stuck:
    """A server process that nothing but SIGKILL ends."""

    pid = 4711

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._over = asyncio.Event()

    @property
    def alive(self) -> bool:
        return not self._over.is_set()

    async def wait(self) -> int:
        await self._over.wait()
        return -9

    async def fault(self) -> str:
        await self.wait()
        return "It was killed by SIGKILL."

    def terminate(self) -> None:
        self.asked.append("terminate")

    def hurry(self) -> None:
        self.asked.append("hurry")

    def kill(self) -> None:
        self.asked.append("kill")
        self._over.set()


async def stopped(grace_s: float, now: asyncio.Event) -> tuple[list[str], list[str]]:
    """Stop a family of one such process; return what it was asked, and the faults."""
    settings = load({"drain_grace_s": grace_s}, environ={})
    family = supervisor._Family(settings, Path(), "key", None, None)
    stuck = Stuck()
    family._places[0].process = cast("Process", stuck)
    faults: list[str] = []
    async with asyncio.timeout(60):
        await family.stop(now, faults)
    return stuck.asked, faults


FAULT = "Server process 0 did not stop as it should: It did not end in its time and was killed."


async def test_a_process_that_hangs_in_its_stop_is_killed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_END_S", 0.02)
    assert await stopped(0, asyncio.Event()) == (["terminate", "kill"], [FAULT])


async def test_a_process_that_hangs_is_not_waited_for_through_a_grace_that_was_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "_END_S", 0.02)
    now = asyncio.Event()
    now.set()
    assert await stopped(600, now) == (["terminate", "hurry", "kill"], [FAULT])
