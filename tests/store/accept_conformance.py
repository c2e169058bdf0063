"""What every store does with a Call that is claimed as it is accepted."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest

from polycall.domain import Execution, ExecutionState
from polycall.errors import AlreadyExists
from polycall.ids import now_ms
from polycall.store.protocol import Store
from tests.store.examples import LOST, ended, package, queued, recorded


def _bare() -> Execution:
    return queued(alias=None, request_id=None)


class AcceptConformance:
    """To be inherited by a class with a fixture ``store``."""

    async def test_what_nothing_waits_before_is_claimed_as_it_is_accepted(self, store: Store) -> None:
        call = queued(face="cognite", alias="7", request_id="r-1", deadline=now_ms() + 60_000)
        taken = await store.accept(call, owner="n")
        assert taken.claimed
        started_at = taken.execution.started_at
        assert started_at is not None
        assert abs(started_at - now_ms()) < 60_000
        as_claimed = replace(call, state=ExecutionState.RUNNING, attempt=1, owner="n", started_at=started_at)
        assert taken.execution == as_claimed
        assert taken.execution.run_at == started_at
        assert await store.get("default", call.id) == as_claimed
        assert (await store.backlog(), await store.due()) == (0, [])
        assert list(await store.claim("m", {"default": 9})) == []
        end = ended(taken.execution)
        assert not await store.finish(end, owner="m")
        assert await store.finish(end, owner="n")
        assert await store.get("default", call.id) == replace(end, owner=None)

    async def test_it_is_what_a_claim_would_have_returned(self, store: Store) -> None:
        taken = await store.accept(first := _bare(), owner="n")
        await store.enqueue(second := _bare())
        (claimed,) = await store.claim("n", {"default": 9})
        assert (claimed.id, claimed.run_at is not None) == (second.id, True)
        assert taken.execution == replace(
            claimed,
            id=first.id,
            queued_at=first.queued_at,
            deadline=first.deadline,
            started_at=taken.execution.started_at,
        )

    async def test_what_waits_comes_first(self, store: Store, other_project: str) -> None:
        await store.enqueue(waits := replace(_bare(), priority=-9))
        # of any priority: the claim of all puts them in order
        late = await store.accept(replace(_bare(), priority=9), owner="n")
        assert (late.claimed, late.execution.state, late.execution.owner) == (False, ExecutionState.QUEUED, None)
        assert await store.get("default", late.execution.id) == late.execution
        elsewhere = replace(_bare(), project_id=other_project)
        assert (await store.accept(elsewhere, owner="n")).claimed
        assert [call.id for call in await store.claim("m", {"default": 9})] == [late.execution.id, waits.id]
        assert (await store.accept(_bare(), owner="n")).claimed

    async def test_what_is_delayed_does_not_wait_yet(self, store: Store) -> None:
        await store.enqueue(_bare(), delay_ms=3_600_000)
        assert (await store.accept(_bare(), owner="n")).claimed

    @pytest.mark.parametrize("whose", ["its own", "another function's", "the project's"])
    async def test_where_a_project_has_a_limit_nothing_is_claimed_so(self, store: Store, whose: str) -> None:
        with contextlib.suppress(AlreadyExists):
            await store.create_package(package("package"))
        function = {"its own": "function", "another function's": "another"}.get(whose)
        for limit in (1, None):  # taken away, it is a lane for a while
            if function is None:
                await store.change_project("default", {"max_running": limit})
            else:
                await store.set_policy("default", "package", function, {"max_running": limit}, 1000)
            taken = await store.accept(_bare(), owner="n")
            if limit is None and function is None:
                # nothing is marked for a project's: it is over at once, and what came before is first
                assert (taken.claimed, await store.backlog()) == (False, 2)
                assert len(await store.claim("n", {"default": 9})) == 2
                assert (await store.accept(_bare(), owner="n")).claimed
            else:
                assert (taken.claimed, taken.execution.state) == (False, ExecutionState.QUEUED)
        if function is not None:
            assert len(await store.claim("n", {"default": 9})) == 2

    async def test_a_repeated_request_id_is_not_claimed_again(self, store: Store) -> None:
        first = await store.accept(call := queued(request_id="r-1", alias=None), owner="n")
        again = await store.accept(replace(call, input=b"2"), owner="n")
        assert (again.claimed, again.execution) == (False, first.execution)
        anew = await store.accept(queued(request_id="r-1", alias=None), owner="n")
        assert (anew.claimed, anew.execution) == (False, first.execution)
        store.record(record := recorded(request_id="r-2"))
        assert await store.accept(queued(request_id="r-2"), owner="n") == (record, False)

    async def test_of_many_with_one_request_id_one_is_claimed(self, store: Store) -> None:
        made = await asyncio.gather(
            *[store.accept(queued(request_id="r-1", alias=None), owner=f"n{number}") for number in range(12)]
        )
        assert Counter(taken.claimed for taken in made) == {True: 1, False: 11}
        assert len({taken.execution.id for taken in made}) == 1

    async def test_ids_and_aliases_are_taken_once(self, store: Store) -> None:
        taken = await store.accept(queued(face="cognite", alias="7"), owner="n")
        with pytest.raises(AlreadyExists):
            await store.accept(queued(face="cognite", alias="7"), owner="n")
        with pytest.raises(AlreadyExists):
            await store.accept(queued(id=taken.execution.id), owner="n")
        for wrong in (queued(state=ExecutionState.RUNNING, owner="n", attempt=1), recorded()):
            with pytest.raises(ValueError, match="cannot accept"):
                await store.accept(wrong, owner="n")

    async def test_a_large_input_is_there_and_is_kept(self, store: Store) -> None:
        call = replace(_bare(), input=b"i" * 100_000)
        taken = await store.accept(call, owner="n")
        assert (taken.claimed, taken.execution.input) == (True, call.input)
        assert (await store.get("default", call.id)).input == call.input

    async def test_what_its_owner_leaves_behind_is_taken_over(self, store: Store) -> None:
        taken = await store.accept(replace(_bare(), max_attempts=2), owner="dead")
        last = await store.accept(replace(_bare(), max_attempts=1), owner="dead")
        stopped = await store.accept(_bare(), owner="dead")
        await store.request_cancel("default", stopped.execution.id, now_ms())
        assert await store.cancelled("dead") == [stopped.execution.id]
        reaped = await store.reap(LOST, 1000)
        assert reaped == {ExecutionState.QUEUED: 1, ExecutionState.FAILED: 1, ExecutionState.CANCELLED: 1}
        assert not await store.finish(ended(taken.execution), owner="dead")
        assert (await store.get("default", last.execution.id)).error == LOST
        (again,) = await store.claim("living", {"default": 9})
        assert (again.id, again.attempt) == (taken.execution.id, 2)

    async def test_what_its_owner_never_heard_of_is_given_back(self, store: Store) -> None:
        unheard, known = [await store.accept(_bare(), owner="n") for _ in range(2)]
        assert await store.unclaim("n", [known.execution.id]) == 1
        (again,) = await store.claim("m", {"default": 9})
        assert (again.id, again.attempt) == (unheard.execution.id, 1)
