"""Schedules: made and changed by callers, fired by the scheduler, run by the dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from polycall.domain import (
    Execution,
    ExecutionKind,
    ExecutionState,
    LimitOverrides,
    MissedTicks,
    Overlap,
    Principal,
    Reason,
    Schedule,
    Scope,
)
from polycall.engine.registry import VersionDraft
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import (
    AlreadyExists,
    InvalidArgument,
    LimitOutOfRange,
    NotFound,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
)
from polycall.store.protocol import ScheduleFilter
from polycall.store.tables import schedules
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, OTHER, SOURCE, House, function, other_project, refusal, until

MINUTE = 60_000


def yearly(**changes: Any) -> Schedule:
    """Return a schedule that is not due while a test runs, of a function of SOURCE."""
    plain = Schedule(
        project_id="",
        id="s",
        package_id="p",
        function="echo",
        cron="0 0 1 1 *",
        created_at=0,
        updated_at=0,
        input=b'{"x": 9007199254740993}',
    )
    return replace(plain, **changes)


class Face:
    """A face whose schedules run as a test says."""

    most_of_function = 2

    def __init__(self, plan: Callable[[Schedule], Awaitable[tuple[FunctionRun, RunOptions]]]) -> None:
        self._plan = plan

    async def plan(self, schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        return await self._plan(schedule)

    def check(self, schedule: Schedule) -> None:
        if not schedule.id:
            raise InvalidArgument.of("schedule_id", "must be set")

    async def adopted(self, who: Principal, schedule: Schedule) -> Schedule:
        return replace(schedule, face_data=b'"adopted"')


async def made(home: House, **changes: Any) -> Schedule:
    return await home.engine.schedules.create(DEFAULT, yearly(**changes))


async def set_clock(home: House, ago_ms: int, schedule_id: str = "s") -> int:
    """Make a schedule's next tick one that was so long ago; return it."""
    tick = (await home.store.real.clock()) - ago_ms

    def move(conn: sa.Connection) -> None:
        conn.execute(sa.update(schedules).where(schedules.c.id == schedule_id).values(next_run=tick))

    await home.store.real._executor.write(move)
    return tick


async def fired(home: House, schedule_id: str = "s") -> Schedule:
    """Return a schedule once the scheduler has moved it on."""

    async def moved() -> Schedule | None:
        found = await home.store.real.get_schedule("default", schedule_id)
        return found if found.next_run is None or found.next_run > await home.store.real.clock() else None

    found: Schedule = await until(moved)
    return found


def violations(error: InvalidArgument) -> list[str]:
    return sorted(violation.field for violation in error.violations)


# made and changed


async def test_a_schedule_is_made_with_its_next_tick(home: House) -> None:
    await home.deploy()
    created = await made(home, cron="0 3 * * *", display_name="Nightly", timezone="Asia/Tokyo")
    assert (created.project_id, created.created_by, created.face) == ("default", "k1", None)
    assert created.next_run is not None
    assert created.next_run % MINUTE == 0
    assert 0 < created.next_run - await home.store.real.clock() <= 24 * 60 * MINUTE
    assert home.engine.schedules.upcoming(created, 3) == tuple(
        created.next_run + n * 24 * 60 * MINUTE for n in range(3)
    )
    assert await home.engine.schedules.get(DEFAULT, "s") == created
    page = await home.engine.schedules.list(DEFAULT, ScheduleFilter(), 10)
    assert page.items == (replace(created, input=b""),)


async def test_a_schedule_without_an_id_gets_one(home: House) -> None:
    await home.deploy()
    created = await made(home, id="")
    assert len(created.id) == 36
    await refusal(made(home, id=created.id), AlreadyExists)


async def test_checking_only_makes_nothing(home: House) -> None:
    await home.deploy()
    checked = await home.engine.schedules.create(DEFAULT, yearly(), validate_only=True)
    assert checked.next_run is not None
    assert (await home.engine.schedules.list(DEFAULT, ScheduleFilter(), 10)).items == ()


async def test_everything_that_is_wrong_is_said_at_once(home: House) -> None:
    await home.deploy()
    wrong = yearly(
        id="..",
        cron="* * * *",
        timezone="UTC",
        display_name="x" * 4097,
        description="x" * 4097,
        max_attempts=11,
        deadline_ms=999,
        input=b" " * (10 * 1024 * 1024) + b"1",
    )
    error = await refusal(home.engine.schedules.create(DEFAULT, wrong), InvalidArgument)
    assert violations(error) == [
        "schedule.cron",
        "schedule.deadline",
        "schedule.description",
        "schedule.display_name",
        "schedule.input_json",
        "schedule.max_attempts",
        "schedule_id",
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ({"input": b"{"}, InvalidArgument, "schedule.input_json"),
        ({"timezone": "Middle/Earth"}, InvalidArgument, "schedule.timezone"),
        ({"cron": "0 0 31 2 *"}, InvalidArgument, "schedule.cron"),
        ({"limits": LimitOverrides(timeout_ms=0)}, LimitOutOfRange, "schedule.limits.timeout"),
        ({"package_id": "nothing"}, NotFound, Reason.PACKAGE_NOT_FOUND),
        ({"version_id": "7"}, NotFound, Reason.VERSION_NOT_FOUND),
        ({"function": "nothing"}, NotFound, Reason.FUNCTION_NOT_FOUND),
        ({"package_id": "broken"}, NotReady, Reason.FUNCTION_NOT_READY),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_what_could_never_run_is_refused(home: House, changes: dict[str, Any], kind: Any, what: str) -> None:
    await home.deploy()
    await home.deploy("broken", b"def echo(:")
    error = await refusal(made(home, **changes), kind)
    assert what == (error.violations[0].field if isinstance(error, InvalidArgument) else error.reason)
    assert (await home.engine.schedules.list(DEFAULT, ScheduleFilter(), 10)).items == ()


async def test_a_schedule_may_be_made_before_its_version_is_analysed(home: House) -> None:
    draft = VersionDraft(package_id="p", files={"main.py": SOURCE})
    await home.registry.create_version(DEFAULT, draft, create_package=True, analyze_later=True)
    assert (await made(home, function="not known yet")).next_run is not None


async def test_a_project_has_as_many_as_the_operator_says(build: Build) -> None:
    async with build(most_schedules=2) as home:
        await home.deploy()
        await made(home, id="a")
        await made(home, id="b")
        error = await refusal(made(home, id="c"), QuotaExceeded)
        assert error.reason is Reason.QUOTA_EXCEEDED
        assert "project_schedules" in error.message


async def test_who_makes_a_schedule_may_deploy_and_run(home: House) -> None:
    await home.deploy()
    await made(home)
    all_of_them = home.engine.schedules
    keys = {scope: replace(DEFAULT, scopes=frozenset({scope})) for scope in Scope}
    reader, runner, deployer = keys[Scope.READ], keys[Scope.RUN], keys[Scope.DEPLOY]
    same = yearly(id="t")
    for who in (reader, runner, deployer):
        await refusal(all_of_them.create(who, same), PermissionDenied)
        await refusal(all_of_them.change(who, "s", lambda kept: kept), PermissionDenied)
        await refusal(all_of_them.resume(who, "s"), PermissionDenied)
    for who in (reader, runner):
        await refusal(all_of_them.pause(who, "s"), PermissionDenied)
        await refusal(all_of_them.delete(who, "s"), PermissionDenied)
    for who in (runner, deployer):
        await refusal(all_of_them.get(who, "s"), PermissionDenied)
        await refusal(all_of_them.list(who, ScheduleFilter(), 1), PermissionDenied)
    for who in (reader, deployer):
        await refusal(home.plans.run_now(who, "s"), PermissionDenied)
    assert (await all_of_them.get(reader, "s")).id == "s"
    assert (await all_of_them.pause(deployer, "s")).paused
    assert (await home.plans.run_now(runner, "s")).schedule_id == "s"
    await all_of_them.delete(deployer, "s")


async def test_another_projects_schedule_is_not_found(home: House) -> None:
    await other_project(home.store.real)
    await home.deploy()
    await made(home)
    for work in (
        home.engine.schedules.get(OTHER, "s"),
        home.engine.schedules.change(OTHER, "s", lambda kept: kept),
        home.engine.schedules.pause(OTHER, "s"),
        home.engine.schedules.resume(OTHER, "s"),
        home.engine.schedules.delete(OTHER, "s"),
        home.plans.run_now(OTHER, "s"),
    ):
        error = await refusal(work, NotFound)
        assert error.reason is Reason.SCHEDULE_NOT_FOUND
    assert (await home.engine.schedules.list(OTHER, ScheduleFilter(), 10)).items == ()


async def test_a_change_of_the_expression_moves_the_next_tick_and_no_other_does(home: House) -> None:
    await home.deploy()
    await made(home)
    tick = await set_clock(home, -5 * MINUTE)
    changed = await home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, description="new"))
    assert (changed.next_run, changed.description, changed.revision) == (tick, "new", 1)
    changed = await home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, cron="* * * * *"))
    assert changed.next_run is not None
    assert changed.next_run != tick
    assert changed.next_run - await home.store.real.clock() <= MINUTE
    error = await refusal(
        home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, cron="x")), InvalidArgument
    )
    assert violations(error) == ["schedule.cron"]


async def test_changes_at_the_same_time_are_all_made(home: House) -> None:
    await home.deploy()
    await made(home)
    await asyncio.gather(
        home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, description="a")),
        home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, display_name="b")),
        home.engine.schedules.change(DEFAULT, "s", lambda kept: replace(kept, overlap=Overlap.SKIP)),
    )
    found = await home.engine.schedules.get(DEFAULT, "s")
    assert (found.description, found.display_name, found.overlap, found.revision) == ("a", "b", Overlap.SKIP, 3)


async def test_a_paused_schedule_has_no_ticks_until_it_is_resumed(home: House) -> None:
    await home.deploy()
    await made(home)
    await set_clock(home, 1000)
    assert (await home.engine.schedules.pause(DEFAULT, "s")).next_run is None
    assert (await home.engine.schedules.pause(DEFAULT, "s")).paused
    home.tick()
    assert home.engine.schedules.upcoming(await home.engine.schedules.get(DEFAULT, "s"), 5) == ()
    resumed = await home.engine.schedules.resume(DEFAULT, "s")
    assert resumed.next_run is not None
    assert resumed.next_run > await home.store.real.clock()
    assert (resumed.paused, resumed.skipped, resumed.runs) == (False, 0, 0)
    assert await home.records() == []


async def test_a_schedule_whose_version_is_broken_can_still_be_paused(home: House) -> None:
    await home.deploy()
    await made(home)
    await home.registry.delete_version(DEFAULT, "p", "1")
    await home.deploy(source=b"def echo(:")
    assert (await home.engine.schedules.pause(DEFAULT, "s")).paused
    await refusal(home.engine.schedules.resume(DEFAULT, "s"), NotReady)


# ticks


async def test_a_tick_runs_the_function_once(home: House) -> None:
    await home.deploy()
    await made(home, limits=LimitOverrides(timeout_ms=7000), max_attempts=2, deadline_ms=20_000)
    tick = await set_clock(home, 500)
    home.work()
    home.tick()
    found = await fired(home)
    assert (found.last_run, found.runs, found.skipped) == (tick, 1, 0)
    await until(home.all_ended)
    ran = await home.record()
    assert (ran.state, ran.result, ran.input) == (
        ExecutionState.COMPLETED,
        b"9007199254740993",
        b'{"x": 9007199254740993}',
    )
    assert (ran.kind, ran.schedule_id, ran.scheduled_at) == (ExecutionKind.SCHEDULE, "s", tick)
    assert (ran.version_id, ran.function, ran.created_by, ran.max_attempts) == ("1", "echo", "k1", 2)
    assert ran.deadline == tick + 20_000
    assert ran.limits is not None
    assert ran.limits.timeout_ms == 7000


async def test_of_several_servers_one_fires(build: Build, home: House) -> None:
    from polycall.engine.scheduler import Scheduler

    await home.deploy()
    for name in "abcdefgh":
        await made(home, id=name)
    ticks = {name: await set_clock(home, 500, name) for name in "abcdefgh"}
    others = [
        Scheduler(home.engine, home.store.real, home.plans, grace_s=30, node=f"node-{number}") for number in range(3)
    ]
    working = [asyncio.create_task(other.run()) for other in others]
    home.tick()
    for name in "abcdefgh":
        await fired(home, name)
    for task in working:
        task.cancel()
    await asyncio.wait(working)
    ran = {one.schedule_id: one.scheduled_at for one in await home.records()}
    assert ran == ticks
    assert len(await home.records()) == 8


async def test_the_version_is_that_of_the_moment_unless_the_schedule_names_one(home: House) -> None:
    await home.deploy(release=True)
    await made(home, id="newest")
    await made(home, id="first", version_id="1")
    await home.deploy(release=True)
    for name in ("newest", "first"):
        await set_clock(home, 10, name)
    home.tick()
    for name in ("newest", "first"):
        await fired(home, name)
    assert {one.schedule_id: one.version_id for one in await home.records()} == {"newest": "2", "first": "1"}


async def test_a_tick_that_is_too_late_is_left_out_and_counted(home: House) -> None:
    await home.deploy()
    await made(home, cron="* * * * *")
    tick = await set_clock(home, 5 * MINUTE + 31_000)
    tick -= tick % MINUTE  # the ticks after it are whole minutes
    home.tick()
    found = await fired(home)
    assert 6 <= found.runs + found.skipped <= 9  # by where in its minute the test began, and how long it took
    assert found.last_skip == "No server fired it in time: none ran, or the database was away."
    assert len(await home.records()) == found.runs <= 1
    assert found.last_skipped is not None


async def test_the_last_of_the_missed_ticks_runs_if_the_schedule_says_so(home: House) -> None:
    await home.deploy()
    await made(home, cron="0 3 * * *", missed=MissedTicks.RUN_LAST)
    tick = await set_clock(home, 49 * 60 * MINUTE)
    home.tick()
    found = await fired(home)
    assert (found.runs, found.last_run is not None) == (1, True)
    assert found.skipped in (2, 3)
    ran = await home.record()
    assert ran.scheduled_at == found.last_run
    assert ran.scheduled_at is not None
    assert ran.scheduled_at > tick
    assert (ran.scheduled_at // 1000) % 86_400 == 3 * 3600


async def test_a_very_long_outage_does_not_hold_up_the_others(home: House) -> None:
    await home.deploy()
    await made(home, id="long", cron="* * * * *")
    await made(home, id="short")
    await set_clock(home, 365 * 24 * 60 * MINUTE, "long")
    await set_clock(home, 10, "short")
    home.tick()
    assert (await fired(home, "short")).runs == 1
    found = await fired(home, "long")
    assert 9_999 <= found.skipped <= 10_000


async def test_a_tick_of_a_version_that_cannot_run_is_left_out_and_says_why(home: House) -> None:
    await home.deploy()
    await made(home)
    await home.registry.delete_version(DEFAULT, "p", "1")
    await home.deploy(source=b"def echo(:  # \0 and \xed\xa0\x80")
    tick = await set_clock(home, 10)
    home.tick()
    found = await fired(home)
    assert (found.runs, found.skipped, found.last_skipped) == (0, 1, tick)
    assert found.last_skip.startswith("packages/p/versions/1 cannot be run (state error)")
    assert await home.records() == []


async def test_a_tick_while_too_many_calls_wait_is_left_out(home: House) -> None:
    await home.deploy()
    await made(home)
    home.engine._backlog._most = 1
    await home.engine.call(DEFAULT, function("echo"), RunOptions())  # nobody claims it here
    await set_clock(home, 10)
    home.tick()
    found = await fired(home)
    assert (found.runs, found.skipped) == (0, 1)
    assert found.last_skip.startswith("1 calls of this project wait already")


async def test_a_schedule_that_cannot_be_planned_waits_for_its_next_tick_and_holds_up_nobody(home: House) -> None:
    async def plan(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        raise RuntimeError(schedule.id)

    await home.deploy()
    home.face_schedules["riza"] = Face(plan)
    await made(home, id="poison", face="riza")
    await made(home)
    for name in ("poison", "s"):
        await set_clock(home, 10, name)
    home.tick()
    assert (await fired(home)).runs == 1
    found = await fired(home, "poison")
    assert (found.runs, found.skipped, found.last_skip) == (0, 1, "Internal error; see the server's log.")


async def test_a_face_says_how_its_schedules_run(home: House) -> None:
    async def plan(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        run = FunctionRun(package_id=schedule.package_id, function="pid", input=b"{}", fresh=True)
        return run, RunOptions(face=schedule.face, alias="17", face_data=b"[1]", max_attempts=1)

    await home.deploy()
    home.face_schedules["cognite"] = Face(plan)
    await made(home, face="cognite")
    tick = await set_clock(home, 10)
    home.tick()
    await fired(home)
    ran = await home.record()
    assert (ran.face, ran.alias, ran.face_data, ran.function) == ("cognite", "17", b"[1]", "pid")
    assert (ran.schedule_id, ran.scheduled_at, ran.max_attempts) == ("s", tick, 1)


async def test_a_schedule_is_made_natively_for_a_face_that_has_schedules(home: House) -> None:
    async def plan(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        return FunctionRun(package_id="p", function="pid", input=b"{}"), RunOptions(face="x")

    await home.deploy()
    home.face_schedules["x"] = Face(plan)
    checked = await home.plans.create(DEFAULT, yearly(id="a", face="x"), validate_only=True)
    assert (checked.face, checked.face_data) == ("x", None)
    created = await home.plans.create(DEFAULT, yearly(id="a", face="x", function="not known yet"))
    assert (created.face, created.face_data, created.next_run) == ("x", b'"adopted"', checked.next_run)
    await home.plans.create(DEFAULT, yearly(id="b", face="x"))
    await refusal(home.plans.create(DEFAULT, yearly(id="c", face="x")), QuotaExceeded)
    error = await refusal(home.plans.create(DEFAULT, yearly(id="c", face="y")), InvalidArgument)
    assert violations(error) == ["schedule.face"]
    wrong = yearly(id="", face="x")
    error = await refusal(home.plans.create(DEFAULT, wrong, validate_only=True), InvalidArgument)
    assert violations(error) == ["schedule_id"]
    other = replace(created, package_id="other")
    error = await refusal(home.engine.schedules.change(DEFAULT, "a", lambda kept: other), InvalidArgument)
    assert violations(error) == ["schedule.function"]


async def test_an_execution_that_the_store_refuses_is_left_out(home: House) -> None:
    async def plan(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        return FunctionRun(package_id="p", function="pid", input=b"{}"), RunOptions(face="x", alias="\0")

    await home.deploy()
    home.face_schedules["x"] = Face(plan)
    await made(home, face="x")
    await set_clock(home, 10)
    home.tick()
    found = await fired(home)
    assert (found.runs, found.skipped, found.last_skip) == (0, 1, "Internal error; see the server's log.")


async def test_ticks_that_come_while_the_database_is_away_are_fired_after(home: House) -> None:
    await home.deploy()
    await made(home)
    home.store.away.add("fire")
    await set_clock(home, 10)
    home.tick()
    await until(lambda: "fire" in home.store.calls)
    assert (await home.store.real.get_schedule("default", "s")).runs == 0
    home.store.away.clear()
    assert (await fired(home)).runs == 1
    assert len(await home.records()) == 1


async def test_a_restart_fires_what_came_due_meanwhile(build: Build) -> None:
    async with build() as home:
        await home.deploy()
        await made(home)
        tick = await set_clock(home, 10)
    async with build() as home:
        home.tick()
        assert (await fired(home)).last_run == tick


async def test_a_schedule_of_a_deleted_package_fires_no_more(home: House) -> None:
    await home.deploy()
    await made(home)
    await home.registry.delete_package(DEFAULT, "p")
    await refusal(home.engine.schedules.get(DEFAULT, "s"), NotFound)
    await home.deploy()
    assert (await home.engine.schedules.list(DEFAULT, ScheduleFilter(), 10)).items == ()


async def test_overlap_skip_waits_for_the_end_of_the_earlier_one(home: House) -> None:
    await home.deploy()
    await made(home, function="hang", input=b"{}", overlap=Overlap.SKIP)
    home.work()
    home.tick()
    await set_clock(home, 10)
    home.engine.schedules.on_change()
    await fired(home)
    await home.begun()
    await set_clock(home, 10)
    home.engine.schedules.on_change()
    found = await fired(home)
    assert (found.runs, found.skipped) == (1, 1)
    assert "has not ended" in found.last_skip
    assert len(await home.records()) == 1


async def test_overlap_replace_kills_the_earlier_one(home: House) -> None:
    await home.deploy()
    await made(home, function="hang", input=b"{}", overlap=Overlap.REPLACE)
    home.work()
    home.tick()
    await set_clock(home, 10)
    home.engine.schedules.on_change()
    await fired(home)
    await home.begun()
    await set_clock(home, 10)
    home.engine.schedules.on_change()
    found = await fired(home)
    assert (found.runs, found.skipped) == (2, 0)

    async def states() -> list[ExecutionState]:
        return [one.state for one in await home.records()]

    await until(lambda: _is(states, [ExecutionState.CANCELLED, ExecutionState.RUNNING]))


async def _is(states: Any, expected: list[ExecutionState]) -> bool:
    return bool(await states() == expected)


# now


async def test_a_schedule_runs_now_beside_its_ticks_even_while_it_is_paused(home: House) -> None:
    await home.deploy()
    kept = await made(home, paused=True, overlap=Overlap.SKIP, deadline_ms=60_000, max_attempts=2)
    asked = await home.plans.run_now(DEFAULT, "s", "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f")
    again = await home.plans.run_now(DEFAULT, "s", "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f")
    assert again.id == asked.id
    assert (asked.kind, asked.schedule_id, asked.scheduled_at) == (ExecutionKind.CALL, "s", None)
    assert (asked.deadline, asked.max_attempts) == (asked.queued_at + 60_000, 2)
    second: Execution = await home.plans.run_now(DEFAULT, "s")
    assert second.id != asked.id
    assert await home.engine.schedules.get(DEFAULT, "s") == kept
    home.work()
    await until(home.all_ended)
    assert [one.result for one in await home.records()] == [b"9007199254740993"] * 2


async def test_running_now_is_refused_like_a_call(home: House) -> None:
    await home.deploy()
    await made(home)
    await home.registry.delete_version(DEFAULT, "p", "1")
    await refusal(home.plans.run_now(DEFAULT, "s"), NotFound)
    nobody = Principal(project_id="default", key_id="k", scopes=frozenset())
    await refusal(home.plans.run_now(nobody, "s"), PermissionDenied)
