"""polycall.v1.ScheduleService."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from google.protobuf import empty_pb2

from polycall.domain import Principal, Schedule, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.plans import Plans
from polycall.interceptors.rpc import Rpc
from polycall.names import ScheduleName
from polycall.services.execution_messages import message_for
from polycall.services.once import Once, as_reader, found_or_made, id_of
from polycall.services.schedule_messages import (
    NewSchedule,
    read_new_schedule,
    read_run_now,
    read_schedule_change,
    read_schedules_page,
    schedule_message,
)
from polycall.v1 import execution_pb2, schedule_pb2, schedule_service_pb2, schedule_service_pb2_grpc

__all__ = ["ScheduleService"]

_SHOWN = 5  # next ticks of one schedule; a list shows the next one


class ScheduleService(schedule_service_pb2_grpc.ScheduleServiceServicer):
    """Keeps schedules."""

    def __init__(self, engine: Engine, plans: Plans) -> None:
        self._schedules = engine.schedules
        self._plans = plans
        self._made: Once[Schedule] = Once()

    async def CreateSchedule(
        self, request: schedule_service_pb2.CreateScheduleRequest, rpc: Rpc
    ) -> schedule_pb2.Schedule:
        """Create a schedule."""
        for scope in (Scope.DEPLOY, Scope.RUN):  # before an answer that another key of the project was given
            require(rpc.who, scope)
        new = read_new_schedule(request)
        if new.request_id is None or new.validate_only:
            made = await self._plans.create(rpc.who, new.schedule, validate_only=new.validate_only)
        else:
            made = await self._made(rpc.who.project_id, new.request_id, partial(self._once, rpc.who, new))
        return self._message(made, named=not new.validate_only)

    async def GetSchedule(self, request: schedule_service_pb2.GetScheduleRequest, rpc: Rpc) -> schedule_pb2.Schedule:
        """Return a schedule with its next ticks."""
        return self._message(await self._schedules.get(rpc.who, ScheduleName.parse(request.name).schedule))

    async def ListSchedules(
        self, request: schedule_service_pb2.ListSchedulesRequest, rpc: Rpc
    ) -> schedule_service_pb2.ListSchedulesResponse:
        """List schedules, newest first."""
        page = await self._schedules.list(rpc.who, *read_schedules_page(request))
        return schedule_service_pb2.ListSchedulesResponse(
            schedules=[
                schedule_message(schedule, self._schedules.upcoming(schedule, 1), payloads=False)
                for schedule in page.items
            ],
            next_page_token=page.next_token,
        )

    async def UpdateSchedule(
        self, request: schedule_service_pb2.UpdateScheduleRequest, rpc: Rpc
    ) -> schedule_pb2.Schedule:
        """Change a schedule."""
        asked = read_schedule_change(request)
        changed = await self._plans.change(rpc.who, asked.schedule_id, asked.change, validate_only=asked.validate_only)
        return self._message(changed)

    async def DeleteSchedule(self, request: schedule_service_pb2.DeleteScheduleRequest, rpc: Rpc) -> empty_pb2.Empty:
        """Delete a schedule; its executions stay."""
        await self._schedules.delete(rpc.who, ScheduleName.parse(request.name).schedule)
        return empty_pb2.Empty()

    async def PauseSchedule(
        self, request: schedule_service_pb2.PauseScheduleRequest, rpc: Rpc
    ) -> schedule_pb2.Schedule:
        """Have no more ticks."""
        return self._message(await self._schedules.pause(rpc.who, ScheduleName.parse(request.name).schedule))

    async def ResumeSchedule(
        self, request: schedule_service_pb2.ResumeScheduleRequest, rpc: Rpc
    ) -> schedule_pb2.Schedule:
        """Go on with the next tick."""
        return self._message(await self._schedules.resume(rpc.who, ScheduleName.parse(request.name).schedule))

    async def RunSchedule(self, request: schedule_service_pb2.RunScheduleRequest, rpc: Rpc) -> execution_pb2.Execution:
        """Run it now."""
        schedule_id, request_id = read_run_now(request)
        execution = await self._plans.run_now(rpc.who, schedule_id, request_id)
        rpc.execution = execution
        return message_for(rpc.who, execution)

    async def _once(self, who: Principal, new: NewSchedule) -> Schedule:
        """Create a schedule, unless another server has done so for the same request."""
        if new.schedule.id or new.schedule.face is not None:  # faces have ids of their own
            return await self._plans.create(who, new.schedule)
        schedule = replace(new.schedule, id=id_of(who.project_id, "schedule", new.request_id or ""))
        return await found_or_made(
            lambda: self._schedules.get(as_reader(who), schedule.id), lambda: self._plans.create(who, schedule)
        )

    def _message(self, schedule: Schedule, *, named: bool = True) -> schedule_pb2.Schedule:
        return schedule_message(schedule, self._schedules.upcoming(schedule, _SHOWN), named=named)
