"""How many Calls of one project may wait."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from polycall.engine.backlog import Backlog
from polycall.errors import QueueFull
from polycall.store.protocol import ExecutionStore


class Waiting:
    """A store in which so many wait, by project."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.looks = 0

    async def waiting(self, project_id: str, most: int) -> int:
        self.looks += 1
        await asyncio.sleep(0)
        return min(most, self.counts.get(project_id, 0))


def backlog(store: Waiting, most: int) -> Backlog:
    return Backlog(cast("ExecutionStore", store), most)


async def test_a_project_with_too_many_calls_is_refused_and_others_are_not() -> None:
    store = Waiting(loud=10)
    calls = backlog(store, 10)
    with pytest.raises(QueueFull) as refused:
        await calls.admit("loud")
    assert (refused.value.metadata, refused.value.retry_after_s) == ({"waiting": "10"}, 1.0)
    await calls.admit("quiet")


async def test_what_was_accepted_a_moment_ago_counts_without_a_look_at_the_database() -> None:
    store = Waiting(p=7)
    calls = backlog(store, 10)
    for _ in range(3):
        await calls.admit("p")
    with pytest.raises(QueueFull):
        await calls.admit("p")
    assert store.looks == 1


async def test_many_who_come_at_once_count_each_other() -> None:
    calls = backlog(Waiting(p=1), 5)
    answers = await asyncio.gather(*(calls.admit("p") for _ in range(20)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(QueueFull) == 16
