"""Schedules as callers see them: made, changed, paused, deleted. Whose tick has come is the scheduler's affair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from polycall.domain import PRIORITIES, Principal, Schedule, Scope, VersionState
from polycall.engine.checks import check_json
from polycall.engine.cron import Cron
from polycall.engine.keys import require
from polycall.engine.limits import MIB, LimitPolicy
from polycall.engine.registry import Registry
from polycall.engine.webhooks.webhooks import Webhooks
from polycall.errors import FieldViolation, InvalidArgument, Unavailable
from polycall.ids import new_id, now_ms
from polycall.names import SCHEDULE_RULE, is_schedule_id
from polycall.store.protocol import Page, ScheduleFilter, ScheduleStore

__all__ = ["Schedules"]

_MOST_INPUT = 10 * MIB  # the largest of the contracts we serve (Cognite), and a little more
_LONGEST_TEXT = 4096  # characters, as packages have it
_MOST_ATTEMPTS = 10  # as a Call may ask for
_SHORTEST_DEADLINE_MS, _LONGEST_DEADLINE_MS = 1000, 31 * 86_400_000  # a month: whoever waits longer skips ticks
_TRIES = 5  # to change what others change at the same time


class Schedules:
    """Schedules of all projects, at most ``most`` of one. ``on_change`` hears when one may be due earlier."""

    def __init__(
        self, store: ScheduleStore, registry: Registry, limits: LimitPolicy, webhooks: Webhooks, *, most: int
    ) -> None:
        self._store = store
        self._registry = registry
        self._limits = limits
        self._webhooks = webhooks
        self._most = most
        self.on_change: Callable[[], None] = lambda: None

    async def create(
        self,
        who: Principal,
        schedule: Schedule,
        *,
        function_later: bool = False,
        most_of_package: int | None = None,
        validate_only: bool = False,
    ) -> Schedule:
        """Create a schedule; its first tick is the next that comes. The id is one of ours if it is "".

        ``function_later``: whether the version and the function are there is for its ticks to see.
        Raises PermissionDenied, InvalidArgument, LimitOutOfRange, NotFound (package, version, function), NotReady,
        AlreadyExists, QuotaExceeded.
        """
        _require_both(who)
        now = await self._store.clock()
        made = replace(
            schedule,
            project_id=who.project_id,
            id=schedule.id or str(new_id()),
            created_at=now_ms(),
            updated_at=now_ms(),
            created_by=who.key_id,
        )
        if made.completion_url is not None:
            await self._webhooks.check(who.project_id, made.completion_url, "schedule.completion_url")
        made = await self._checked(made, now, function_later=function_later)
        if not validate_only:
            made = await self._store.create_schedule(made, most=self._most, most_of_package=most_of_package)
            self.on_change()
        return made

    async def get(self, who: Principal, schedule_id: str) -> Schedule:
        """Return a schedule with its input. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._store.get_schedule(who.project_id, schedule_id)

    async def list(self, who: Principal, where: ScheduleFilter, page_size: int, page_token: str = "") -> Page[Schedule]:
        """Return a page without inputs, newest first. Raises PermissionDenied, InvalidArgument (page token)."""
        require(who, Scope.READ)
        return await self._store.list_schedules(who.project_id, where, page_size, page_token)

    async def change(
        self, who: Principal, schedule_id: str, change: Callable[[Schedule], Schedule], *, validate_only: bool = False
    ) -> Schedule:
        """Change a schedule. One whose expression or time zone changes goes on with the next tick that comes.

        Raises as ``create``, and NotFound (schedule).
        """
        _require_both(who)
        return await self._change(who, schedule_id, change, validate_only=validate_only)

    async def pause(self, who: Principal, schedule_id: str) -> Schedule:
        """Have no more ticks; what runs goes on. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        return await self._change(who, schedule_id, lambda schedule: replace(schedule, paused=True))

    async def resume(self, who: Principal, schedule_id: str) -> Schedule:
        """Go on with the next tick that comes; those of the pause are neither run nor counted. Raises as ``change``."""
        _require_both(who)
        return await self._change(who, schedule_id, lambda schedule: replace(schedule, paused=False))

    async def delete(self, who: Principal, schedule_id: str) -> None:
        """Delete a schedule; its executions stay, and go on. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        await self._store.delete_schedule(who.project_id, schedule_id)

    def upcoming(self, schedule: Schedule, count: int) -> tuple[int, ...]:
        """Return the next ticks, ms: none while it is paused."""
        if schedule.next_run is None or count < 1:
            return ()
        if count == 1:
            return (schedule.next_run,)
        return (schedule.next_run, *Cron.kept(schedule.cron, schedule.timezone).upcoming(schedule.next_run, count - 1))

    # within

    async def _change(
        self, who: Principal, schedule_id: str, change: Callable[[Schedule], Schedule], *, validate_only: bool = False
    ) -> Schedule:
        for _ in range(_TRIES):
            kept = await self._store.get_schedule(who.project_id, schedule_id)
            changed = replace(change(kept), updated_at=now_ms())
            if kept.face is not None and _target(kept) != _target(changed):
                raise InvalidArgument.of(
                    "schedule.function",
                    f"cannot be changed: the schedule was made through the contract {kept.face}, which goes by it",
                )
            if changed.completion_url is not None and changed.completion_url != kept.completion_url:
                await self._webhooks.check(who.project_id, changed.completion_url, "schedule.completion_url")
            retime = (kept.cron, kept.timezone, kept.paused) != (changed.cron, changed.timezone, changed.paused)
            if changed.paused and not kept.paused:  # must be possible whatever the rest has become
                changed = replace(changed, next_run=None)
            else:
                changed = await self._checked(changed, await self._store.clock(), function_later=kept.face is not None)
                changed = changed if retime else replace(changed, next_run=kept.next_run)
            if validate_only:
                return changed
            if await self._store.change_schedule(changed, retime=retime):
                self.on_change()
                return await self._store.get_schedule(who.project_id, schedule_id)
        raise Unavailable(f"schedules/{schedule_id} is being changed by others. Repeat the request.")

    async def _checked(self, schedule: Schedule, now: int, *, function_later: bool) -> Schedule:
        """Return a schedule with its next tick. Raises what ``create`` does."""
        wrong = list(_violations(schedule))
        try:
            cron = Cron.parse(schedule.cron, schedule.timezone, now)
        except InvalidArgument as error:
            wrong += error.violations
        if wrong:
            raise InvalidArgument(wrong)
        check_json(schedule.input, "schedule.input_json")
        await self._check_function(schedule, function_later)
        return replace(schedule, next_run=None if schedule.paused else cron.after(now))

    async def _check_function(self, schedule: Schedule, later: bool) -> None:
        if later:
            self._limits.resolve(schedule.limits, path="schedule.limits")
            return
        version = await self._registry.version(schedule.project_id, schedule.package_id, schedule.version_id)
        self._limits.resolve(version.limits, schedule.limits, path="schedule.limits")
        # what is being analysed, or is a draft, may become something: until it has, ticks are left out
        if version.state not in (VersionState.ANALYSING, VersionState.DRAFT):
            await self._registry.resolve(
                schedule.project_id, schedule.package_id, schedule.version_id, schedule.function
            )


def _target(schedule: Schedule) -> tuple[str, str | None, str]:
    return schedule.package_id, schedule.version_id, schedule.function


def _require_both(who: Principal) -> None:
    """A schedule runs code long after the key that made it has gone: who may only run, or only deploy, makes none."""
    require(who, Scope.DEPLOY)
    require(who, Scope.RUN)


def _violations(schedule: Schedule) -> Iterator[FieldViolation]:
    if not is_schedule_id(schedule.id):
        yield FieldViolation("schedule_id", SCHEDULE_RULE)
    if len(schedule.input) > _MOST_INPUT:
        yield FieldViolation("schedule.input_json", f"has {len(schedule.input)} bytes; at most {_MOST_INPUT}")
    for name in ("display_name", "description"):
        if len(getattr(schedule, name)) > _LONGEST_TEXT:
            yield FieldViolation(f"schedule.{name}", f"must have at most {_LONGEST_TEXT} characters")
    if schedule.max_attempts is not None and not 1 <= schedule.max_attempts <= _MOST_ATTEMPTS:
        yield FieldViolation("schedule.max_attempts", f"must be 1 to {_MOST_ATTEMPTS}, got {schedule.max_attempts}")
    if schedule.priority not in PRIORITIES:
        span = f"{PRIORITIES[0]} to {PRIORITIES[-1]}"
        yield FieldViolation("schedule.priority", f"must be {span}, got {schedule.priority}")
    deadline_ms = schedule.deadline_ms
    if deadline_ms is not None and not _SHORTEST_DEADLINE_MS <= deadline_ms <= _LONGEST_DEADLINE_MS:
        span = f"{_SHORTEST_DEADLINE_MS // 1000} to {_LONGEST_DEADLINE_MS // 1000} s"
        yield FieldViolation("schedule.deadline", f"must be {span}, got {deadline_ms / 1000:g}")
