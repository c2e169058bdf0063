"""From a schedule to an execution: of one of its ticks, or because somebody asks for one now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from polycall.domain import Execution, ExecutionKind, Principal, Schedule, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import InvalidArgument

__all__ = ["FaceSchedules", "Plans"]


class FaceSchedules(Protocol):
    """What a face knows of its schedules."""

    most_of_function: int
    """How many schedules one function may have."""

    def check(self, schedule: Schedule) -> None:
        """Raise InvalidArgument for a schedule that is made natively and that the face could not show."""

    async def adopted(self, who: Principal, schedule: Schedule) -> Schedule:
        """Return a schedule that was checked as one of the face's, with what it keeps beside it.

        Raises PermissionDenied.
        """

    async def plan(self, schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        """Return what a tick runs. Raises PolycallError: then the tick is left out, and says why."""


class Plans:
    """Knows what schedules run: natively made ones by themselves, those of a face by it."""

    def __init__(self, engine: Engine, faces: Mapping[str, FaceSchedules] = MappingProxyType({})) -> None:
        self._engine = engine
        self._faces = faces

    async def create(self, who: Principal, schedule: Schedule, *, validate_only: bool = False) -> Schedule:
        """Create a schedule, natively or for a face. Raises as ``Schedules.create``."""
        if schedule.face is None:
            return await self._engine.schedules.create(who, schedule, validate_only=validate_only)
        face = self._faces.get(schedule.face)
        if face is None:
            known = ", ".join(sorted(self._faces)) or "empty"
            raise InvalidArgument.of("schedule.face", f"must be a contract that has schedules: {known}")
        _check_once(schedule)
        face.check(schedule)
        create, most = self._engine.schedules.create, face.most_of_function
        checked = await create(who, schedule, function_later=True, most_of_package=most, validate_only=True)
        if validate_only:
            return checked
        adopted = await face.adopted(who, replace(checked, id=schedule.id))
        return await create(who, adopted, function_later=True, most_of_package=most)

    async def change(
        self,
        who: Principal,
        schedule_id: str,
        change: Callable[[Schedule], Schedule],
        *,
        validate_only: bool = False,
    ) -> Schedule:
        """Change a schedule into one that its face, if it has one, can still show. Raises as ``Schedules.change``."""

        def checked(kept: Schedule) -> Schedule:
            changed = change(kept)
            if (face := self._faces.get(kept.face or "")) is not None:
                _check_once(changed)
                face.check(changed)
            return changed

        return await self._engine.schedules.change(who, schedule_id, checked, validate_only=validate_only)

    async def run_now(self, who: Principal, schedule_id: str, request_id: str | None = None) -> Execution:
        """Run a schedule beside its ticks, also one that is paused; return the execution, QUEUED and durable.

        Raises as ``Engine.call``, and NotFound (schedule).
        """
        require(who, Scope.RUN)
        reader = replace(who, scopes=who.scopes | {Scope.READ})
        schedule = await self._engine.schedules.get(reader, schedule_id)
        execution = await self._planned(who, schedule, ExecutionKind.CALL, None)
        return await self._engine.accept(replace(execution, request_id=request_id))

    async def at(self, schedule: Schedule, tick: int) -> Execution:
        """Return the execution of a tick, to be stored. Raises as ``Engine.call``."""
        # the project's own right: the key that made it may be gone
        who = Principal(project_id=schedule.project_id, key_id=schedule.created_by or "", scopes=frozenset({Scope.RUN}))
        return await self._planned(who, schedule, ExecutionKind.SCHEDULE, tick)

    async def _planned(self, who: Principal, schedule: Schedule, kind: ExecutionKind, tick: int | None) -> Execution:
        face = self._faces.get(schedule.face or "")
        run, options = await face.plan(schedule) if face is not None else _native(schedule)
        execution = await self._engine.prepare_call(who, run, options, kind)
        deadline = execution.deadline
        if schedule.deadline_ms is not None:
            deadline = (execution.queued_at if tick is None else tick) + schedule.deadline_ms
        # not checked again: code whose end cannot be told shall run nevertheless; its delivery says why it cannot
        url = schedule.completion_url
        return replace(
            execution,
            schedule_id=schedule.id,
            scheduled_at=tick,
            deadline=deadline,
            priority=schedule.priority,
            completion_url=url,
        )


def _check_once(schedule: Schedule) -> None:
    """Raise InvalidArgument for a schedule of a face whose executions would be tried again."""
    if schedule.retry is not None:
        raise InvalidArgument.of(
            "schedule.retry_policy", "is not for schedules of a face: its contract runs a tick once"
        )


def _native(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
    run = FunctionRun(
        package_id=schedule.package_id,
        version_id=schedule.version_id,
        function=schedule.function,
        input=schedule.input,
        limits=schedule.limits,
    )
    return run, RunOptions(max_attempts=schedule.max_attempts, retry=schedule.retry)
