"""From a schedule to an execution: of one of its ticks, or because somebody asks for one now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from polycall.domain import Execution, ExecutionKind, Principal, Schedule, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.requests import FunctionRun, RunOptions

__all__ = ["FacePlan", "Plans"]

# What a face makes of a schedule of its own. Raises PolycallError: then the tick is left out, and says why.
FacePlan = Callable[[Schedule], Awaitable[tuple[FunctionRun, RunOptions]]]


class Plans:
    """Knows what schedules run; ``of_face`` says how those of a face do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._faces: dict[str, FacePlan] = {}

    def of_face(self, face: str, plan: FacePlan) -> None:
        """Have the schedules of a face run as it says."""
        self._faces[face] = plan

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
        plan = self._faces.get(schedule.face or "")
        run, options = await plan(schedule) if plan is not None else _native(schedule)
        execution = await self._engine.prepare_call(who, run, options, kind)
        deadline = execution.deadline
        if schedule.deadline_ms is not None:
            deadline = (execution.queued_at if tick is None else tick) + schedule.deadline_ms
        return replace(execution, schedule_id=schedule.id, scheduled_at=tick, deadline=deadline)


def _native(schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
    run = FunctionRun(
        package_id=schedule.package_id,
        version_id=schedule.version_id,
        function=schedule.function,
        input=schedule.input,
        limits=schedule.limits,
    )
    return run, RunOptions(max_attempts=schedule.max_attempts)
