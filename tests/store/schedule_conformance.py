"""What every store does with schedules and their ticks."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from polycall.domain import (
    Execution,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    LimitOverrides,
    MissedTicks,
    Overlap,
    Project,
    Reason,
    Schedule,
)
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, QuotaExceeded
from polycall.ids import new_id, now_ms
from polycall.store.protocol import Fired, Firing, ScheduleFilter, Store
from tests.store.examples import ended, package, queued, recorded, schedule, version

FILES = {"main.py": b"pass"}
TICK = 1_000_000_000_000  # long ago: due
LATER = 4_000_000_000_000  # not for a century
OTHER = "other"


async def _made(store: Store, schedule_id: str = "s", **changes: object) -> Schedule:
    """Return a schedule of a package, which is made if need be."""
    made = schedule(schedule_id, **changes)
    try:
        await store.create_package(package(made.package_id, project_id=made.project_id))
        await store.create_version(version(project_id=made.project_id, package_id=made.package_id), FILES)
    except AlreadyExists:
        pass
    return await store.create_schedule(made, most=1000)


def _tick(of: Schedule, **changes: object) -> Execution:
    """Return the execution of a schedule's tick."""
    plain = queued(
        project_id=of.project_id,
        kind=ExecutionKind.SCHEDULE,
        package_id=of.package_id,
        schedule_id=of.id,
        scheduled_at=of.next_run,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def _firing(of: Schedule, execution: Execution | None = None, **changes: object) -> Firing:
    assert of.next_run is not None
    plain = Firing(at=of.next_run, next_run=of.next_run + 60_000, execution=execution)
    return replace(plain, **changes)  # type: ignore[arg-type]


class ScheduleConformance:
    """Schedules, and their ticks."""

    async def test_a_schedule_comes_back_as_it_was(self, store: Store) -> None:
        made = await _made(store)
        assert await store.get_schedule("default", "s") == made
        page = await store.list_schedules("default", ScheduleFilter(), 10)
        assert page.items == (replace(made, input=b""),)
        bare = await _made(
            store,
            "bare",
            version_id=None,
            limits=LimitOverrides(),
            max_attempts=None,
            deadline_ms=None,
            created_by=None,
            face=None,
            face_data=None,
            next_run=None,
            last_run=None,
            last_skipped=None,
            paused=True,
            overlap=Overlap.ALLOW,
            missed=MissedTicks.SKIP,
        )
        assert await store.get_schedule("default", "bare") == bare

    async def test_an_id_is_taken_once_in_a_project(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await _made(store)
        await _made(store, project_id=OTHER)
        with pytest.raises(AlreadyExists) as raised:
            await _made(store, cron="1 1 1 1 1")
        assert raised.value.resource_name == "schedules/s"
        assert (await store.get_schedule("default", "s")).cron == "*/5 * * * *"

    async def test_a_schedule_needs_its_package_and_the_version_that_it_names(self, store: Store) -> None:
        with pytest.raises(NotFound) as raised:
            await store.create_schedule(schedule(package_id="nothing"), most=9)
        assert raised.value.reason is Reason.PACKAGE_NOT_FOUND
        await store.create_package(package())
        with pytest.raises(NotFound) as raised:
            await store.create_schedule(schedule(version_id="7"), most=9)
        assert raised.value.reason is Reason.VERSION_NOT_FOUND
        await store.create_schedule(schedule(version_id=None), most=9)

    async def test_a_project_and_a_package_have_as_many_as_they_may(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await _made(store, "a")
        await _made(store, "b", package_id="second")
        await _made(store, "c", project_id=OTHER)
        with pytest.raises(QuotaExceeded) as raised:
            await store.create_schedule(schedule("d"), most=2)
        assert (raised.value.subject, raised.value.metadata) == ("schedules", {"most": "2"})
        with pytest.raises(QuotaExceeded) as raised:
            await store.create_schedule(schedule("d"), most=9, most_of_package=1)
        assert raised.value.subject == "packages/package"
        await store.create_schedule(schedule("d"), most=3, most_of_package=2)

    async def test_of_many_who_make_the_last_one_that_may_be_one_does(self, store: Store) -> None:
        await _made(store, "first")
        made = await asyncio.gather(
            *[store.create_schedule(schedule(f"s{number}"), most=3) for number in range(6)], return_exceptions=True
        )
        assert sum(isinstance(one, QuotaExceeded) for one in made) == 4
        assert len((await store.list_schedules("default", ScheduleFilter(), 10)).items) == 3

    async def test_another_projects_schedule_is_not_there(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        made = await _made(store)
        with pytest.raises(NotFound) as raised:
            await store.get_schedule(OTHER, "s")
        assert (raised.value.reason, raised.value.resource_name) == (Reason.SCHEDULE_NOT_FOUND, "schedules/s")
        with pytest.raises(NotFound):
            await store.delete_schedule(OTHER, "s")
        assert not await store.change_schedule(replace(made, project_id=OTHER), retime=True)
        assert (await store.list_schedules(OTHER, ScheduleFilter(), 10)).items == ()
        assert await store.get_schedule("default", "s") == made

    async def test_a_list_is_in_pages_newest_first(self, store: Store) -> None:
        for name, at in (("a", 5), ("c", 7), ("b", 7), ("d", 6)):
            await _made(store, name, created_at=at)
        names, token = [], ""
        for _ in range(3):
            page = await store.list_schedules("default", ScheduleFilter(), 2, token)
            names += [one.id for one in page.items]
            token = page.next_token
            if not token:
                break
        assert names == ["c", "b", "d", "a"]
        with pytest.raises(InvalidArgument):
            await store.list_schedules("default", ScheduleFilter(face="cognite"), 2, "bogus")

    @pytest.mark.parametrize(
        "where",
        [
            ScheduleFilter(package_id="second"),
            ScheduleFilter(version_id="2"),
            ScheduleFilter(function="g"),
            ScheduleFilter(face="cognite"),
            ScheduleFilter(display_name="Wanted"),
            ScheduleFilter(cron="0 0 * * *"),
            ScheduleFilter(created_after=50),
            ScheduleFilter(created_before=10),
            ScheduleFilter(package_id="second", function="g", created_after=50),
        ],
        ids=repr,
    )
    async def test_a_filter_finds_what_matches_all_of_it(self, store: Store, where: ScheduleFilter) -> None:
        plain = {"face": None, "created_at": 20}
        await _made(store, "no", **plain)
        await store.create_version(version("2"), FILES)
        wanted = plain | {
            "package_id": where.package_id or "package",
            "version_id": where.version_id or "1",
            "function": where.function or "function",
            "face": where.face,
            "display_name": where.display_name or "",
            "cron": where.cron or "* * * * *",
            "created_at": where.created_after or (where.created_before or 20 + 1) - 1,
        }
        await _made(store, "yes", **wanted)
        page = await store.list_schedules("default", where, 10)
        assert [one.id for one in page.items] == ["yes"]

    async def test_a_change_is_written_if_nobody_was_quicker(self, store: Store) -> None:
        made = await _made(store)
        changed = replace(
            made,
            function="other",
            version_id=None,
            cron="0 1 * * *",
            timezone="Asia/Tokyo",
            limits=LimitOverrides(),
            max_attempts=None,
            deadline_ms=None,
            overlap=Overlap.REPLACE,
            missed=MissedTicks.SKIP,
            paused=True,
            display_name="n",
            description="d",
            updated_at=77,
            face_data=b"[]",
            input=b"2",
            next_run=LATER,
        )
        assert await store.change_schedule(changed, retime=True)
        assert await store.get_schedule("default", "s") == replace(changed, revision=made.revision + 1)
        assert not await store.change_schedule(made, retime=True)
        with pytest.raises(NotFound):
            await store.change_schedule(replace(changed, version_id="7", revision=made.revision + 1), retime=False)

    async def test_a_change_leaves_the_next_tick_alone_unless_it_is_to_move_it(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        assert await store.fire(made, _firing(made)) is Fired.LEFT_OUT
        assert await store.change_schedule(replace(made, description="new"), retime=False)
        found = await store.get_schedule("default", "s")
        assert (found.next_run, found.description) == (TICK + 60_000, "new")

    async def test_a_schedule_goes_with_its_package_or_the_version_that_it_names(self, store: Store) -> None:
        await _made(store, "of the version", version_id="1")
        await _made(store, "of any", version_id=None)
        await _made(store, "of another", package_id="second")
        await store.create_version(version("2"), FILES)
        await store.delete_version("default", "package", "1")
        page = await store.list_schedules("default", ScheduleFilter(), 10)
        assert {one.id for one in page.items} == {"of any", "of another"}
        await store.delete_package("default", "package")
        page = await store.list_schedules("default", ScheduleFilter(), 10)
        assert [one.id for one in page.items] == ["of another"]

    async def test_a_deleted_schedule_leaves_its_executions(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        fired = _tick(made)
        assert await store.fire(made, _firing(made, fired)) is Fired.RAN
        await store.delete_schedule("default", "s")
        with pytest.raises(NotFound):
            await store.get_schedule("default", "s")
        with pytest.raises(NotFound):
            await store.delete_schedule("default", "s")
        assert (await store.get("default", fired.id)).schedule_id == "s"

    async def test_the_clock_is_one_for_all(self, store: Store) -> None:
        assert abs(await store.clock() - now_ms()) < 10_000

    async def test_what_is_due_is_found_in_all_projects_the_longest_overdue_first(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        assert (await store.due_schedules(9)).items == []
        await _made(store, "b", next_run=TICK + 1)
        await _made(store, "a", next_run=TICK, project_id=OTHER)
        await _made(store, "later", next_run=LATER)
        await _made(store, "latest", next_run=LATER + 1)
        await _made(store, "paused", next_run=None, paused=True)
        due = await store.due_schedules(9)
        assert [(one.project_id, one.id, one.input) for one in due.items] == [(OTHER, "a", b""), ("default", "b", b"")]
        assert due.next_run == LATER
        assert abs(due.now - now_ms()) < 10_000
        assert [one.id for one in (await store.due_schedules(1)).items] == ["a"]

    async def test_projects_take_turns_however_many_one_has_due(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        for number in range(5):
            await _made(store, f"a{number}", next_run=TICK + number)
        await _made(store, "late", next_run=TICK + 100, project_id=OTHER)
        assert [one.id for one in (await store.due_schedules(2)).items] == ["a0", "late"]
        assert [one.id for one in (await store.due_schedules(9)).items] == ["a0", "late", "a1", "a2", "a3", "a4"]

    async def test_a_tick_makes_its_execution_and_moves_the_schedule_on(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        execution = _tick(made)
        assert await store.fire(made, _firing(made, execution)) is Fired.RAN
        assert await store.get("default", execution.id) == execution
        found = await store.get_schedule("default", "s")
        assert found == replace(made, next_run=TICK + 60_000, last_run=TICK, runs=made.runs + 1)
        assert await store.due() == ["default"]
        (claimed,) = await store.claim("n", {"default": 5})
        assert (claimed.schedule_id, claimed.scheduled_at, claimed.kind) == ("s", TICK, ExecutionKind.SCHEDULE)
        assert await store.finish(ended(claimed), owner="n")
        page = await store.list("default", ExecutionFilter(schedule_id="s"), 9)
        assert [(one.id, one.schedule_id, one.scheduled_at) for one in page.items] == [(execution.id, "s", TICK)]

    async def test_of_many_who_fire_a_tick_one_does(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        fired = await asyncio.gather(*[store.fire(made, _firing(made, _tick(made))) for _ in range(10)])
        assert Counter(fired) == {Fired.RAN: 1, Fired.LOST: 9}
        assert len((await store.list("default", ExecutionFilter(), 99)).items) == 1
        assert (await store.get_schedule("default", "s")).runs == made.runs + 1

    async def test_what_was_changed_paused_or_deleted_meanwhile_does_not_fire(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        assert await store.change_schedule(made, retime=False)
        assert await store.fire(made, _firing(made, _tick(made))) is Fired.LOST
        fresh = await store.get_schedule("default", "s")
        await store.delete_schedule("default", "s")
        assert await store.fire(fresh, _firing(fresh, _tick(fresh))) is Fired.LOST
        assert (await store.list("default", ExecutionFilter(), 9)).items == ()

    async def test_a_tick_that_ran_before_does_not_run_again(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        assert await store.fire(made, _firing(made, _tick(made), next_run=TICK)) is Fired.RAN
        assert await store.fire(made, _firing(made, _tick(made))) is Fired.LEFT_OUT
        found = await store.get_schedule("default", "s")
        assert (found.next_run, found.runs) == (TICK + 60_000, made.runs + 1)
        assert len((await store.list("default", ExecutionFilter(), 9)).items) == 1

    async def test_what_is_left_out_is_counted_with_why(self, store: Store) -> None:
        made = await _made(store, next_run=TICK, skipped=3)
        assert (
            await store.fire(made, _firing(made, at=TICK + 180_000, missed=3, next_run=None, why="late"))
            is Fired.LEFT_OUT
        )
        found = await store.get_schedule("default", "s")
        assert (found.skipped, found.last_skipped, found.last_skip) == (7, TICK + 180_000, "late")
        assert (found.next_run, found.last_run, found.runs) == (None, made.last_run, made.runs)

    async def test_missed_ticks_before_one_that_runs_are_counted_as_well(self, store: Store) -> None:
        made = await _made(store, next_run=TICK, skipped=0)
        at = TICK + 120_000
        execution = _tick(made, scheduled_at=at)
        firing = _firing(made, execution, at=at, missed=2, last_missed=TICK + 60_000, why="late")
        assert await store.fire(made, firing) is Fired.RAN
        found = await store.get_schedule("default", "s")
        assert (found.skipped, found.last_skipped, found.last_skip) == (2, TICK + 60_000, "late")
        assert (found.last_run, found.runs) == (at, made.runs + 1)

    @pytest.mark.parametrize("running", [False, True])
    async def test_overlap_skip_leaves_a_tick_out_while_another_has_not_ended(
        self, store: Store, running: bool
    ) -> None:
        made = await _made(store, next_run=TICK, overlap=Overlap.SKIP)
        # others' executions, and those that have ended, are none of its business
        store.record(recorded(schedule_id="s", scheduled_at=1, kind=ExecutionKind.SCHEDULE))
        await store.flush()
        await store.enqueue(queued(schedule_id="another", scheduled_at=1))
        assert await store.fire(made, _firing(made, _tick(made))) is Fired.RAN
        if running:
            await store.claim("n", {"default": 5})
        second = await store.get_schedule("default", "s")
        assert await store.fire(second, _firing(second, _tick(second))) is Fired.LEFT_OUT
        found = await store.get_schedule("default", "s")
        assert (found.skipped, found.runs) == (made.skipped + 1, made.runs + 1)
        assert found.last_skip == "An earlier execution of this schedule has not ended (overlap SKIP)."
        if running:
            claimed = (await store.list("default", ExecutionFilter(schedule_id="s"), 1)).items[0]
            whole = await store.get("default", claimed.id)
            assert await store.finish(ended(whole), owner="n")
            assert await store.fire(found, _firing(found, _tick(found))) is Fired.RAN

    async def test_overlap_allow_lets_them_run_beside_each_other(self, store: Store) -> None:
        made = await _made(store, next_run=TICK, overlap=Overlap.ALLOW)
        assert await store.fire(made, _firing(made, _tick(made))) is Fired.RAN
        second = await store.get_schedule("default", "s")
        assert await store.fire(second, _firing(second, _tick(second))) is Fired.RAN
        assert len(await store.claim("n", {"default": 9})) == 2

    async def test_overlap_replace_cancels_what_has_not_ended(self, store: Store) -> None:
        made = await _made(store, next_run=TICK, overlap=Overlap.REPLACE)
        bystander = await store.enqueue(queued(schedule_id="another", scheduled_at=1))
        first = _tick(made)
        assert await store.fire(made, _firing(made, first)) is Fired.RAN
        assert len(await store.claim("n", {"default": 9})) == 2
        second = await store.get_schedule("default", "s")
        waiting = _tick(second)
        assert await store.fire(second, _firing(second, waiting)) is Fired.RAN
        assert await store.cancelled("n") == [first.id]
        third = await store.get_schedule("default", "s")
        last = _tick(third)
        assert await store.fire(third, _firing(third, last)) is Fired.RAN
        found = await store.get("default", waiting.id)
        assert (found.state, found.cancel_requested) == (ExecutionState.CANCELLED, True)
        assert found.ended_at is not None
        assert found.error is not None
        assert found.error.message == "The next execution of its schedule took its place (overlap REPLACE)."
        assert not (await store.get("default", bystander.id)).cancel_requested
        assert [one.id for one in await store.claim("n", {"default": 9})] == [last.id]

    async def test_executions_are_listed_by_schedule_and_state(self, store: Store) -> None:
        made = await _made(store, next_run=TICK)
        first = _tick(made)
        assert await store.fire(made, _firing(made, first)) is Fired.RAN
        by_hand = await store.enqueue(queued(schedule_id="s"))
        also_by_hand = await store.enqueue(queued(schedule_id="s", id=new_id()))
        await store.enqueue(queued())
        page = await store.list("default", ExecutionFilter(schedule_id="s"), 9)
        # newest first, by id: those of one millisecond in any order
        assert [one.id for one in page.items] == sorted([also_by_hand.id, by_hand.id, first.id], reverse=True)
        done = ExecutionFilter(schedule_id="s", states=(ExecutionState.COMPLETED,))
        assert (await store.list("default", done, 9)).items == ()
        waits = ExecutionFilter(schedule_id="s", states=(ExecutionState.QUEUED,), package_id="package")
        assert len((await store.list("default", waits, 9)).items) == 3
