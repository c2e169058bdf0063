"""Schedules of functions: made, listed, looked up, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polycall.domain import Package, Principal, Schedule
from polycall.engine.engine import Engine
from polycall.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PolycallError,
    Unavailable,
)
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.functiondata import FAILED, FunctionData
from polycall.faces.cognite.functions import EXTERNAL_ID, status_of
from polycall.faces.cognite.queries import read_query, read_window
from polycall.faces.cognite.requests import Reference, is_id, parse_id, read_asked_calls
from polycall.faces.cognite.resource import FACE, Resource
from polycall.faces.cognite.runs import not_ready
from polycall.faces.cognite.schedules import (
    ScheduleBody,
    ScheduleData,
    ScheduleForm,
    ScheduleQuery,
    read_deleted_schedules,
    read_schedule,
    read_schedule_query,
    vendors,
)
from polycall.faces.cognite.sessions import Sessions, SessionsStore
from polycall.faces.cognite.ticks import SCHEDULE_COUNTER, Ticks
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump
from polycall.store.protocol import ScheduleFilter

__all__ = ["ScheduleRoutes"]

_TRIES = 1001  # those that came by another door, an import, may have any numbers; a project has at most 1000


class ScheduleRoutes(Resource):
    """CogniteScheduleService."""

    def __init__(self, engine: Engine, ticks: Ticks, store: SessionsStore, sessions: Sessions) -> None:
        super().__init__(engine)
        self._ticks = ticks
        self._store = store
        self._sessions = sessions
        self.handlers: Mapping[str, Handler] = {
            "CreateSchedules": self.create_schedules,
            "ListSchedules": self.list_schedules,
            "FilterSchedules": self.filter_schedules,
            "RetrieveSchedules": self.retrieve_schedules,
            "DeleteSchedules": self.delete_schedules,
            "GetSchedule": self.get_schedule,
            "GetScheduleInput": self.get_schedule_input,
        }

    async def create_schedules(self, inbound: Inbound) -> Reply:
        """POST functions/schedules: 201. The nonce is spent after everything that can be refused before was refused."""
        who = await self._caller(inbound)
        form = read_schedule(await inbound.read())
        function = await self._wanted(who, form)
        wanted = Schedule(
            project_id=who.project_id,
            id=str(await self._store.next_number(SCHEDULE_COUNTER)),
            package_id=function.id,
            function="handle",
            cron=form.cron,
            created_at=0,
            updated_at=0,
            input=form.data or b"{}",
            display_name=form.name,
            description=form.description,
            face=FACE,
        )
        await self._created(who, wanted, validate_only=True)
        session_id = await self._bound(who, form.nonce, inbound.received_at)
        data = ScheduleData(session_id=session_id, has_data=form.data is not None)
        try:
            made = await self._numbered(who, replace(wanted, face_data=data.dump()))
        except PolycallError:
            await self._sessions.let_go(who.project_id, session_id, inbound.received_at)
            raise
        await self._ticks.keep_session(made)
        return Reply(body=dump({"items": [ScheduleBody.of(made, _external_id(function))]}), status=201)

    async def list_schedules(self, inbound: Inbound) -> Reply:
        """GET functions/schedules."""
        who = await self._caller(inbound)
        window = read_window(read_query(inbound.query))
        return Reply(body=dump({"items": await self._listed(who, ScheduleQuery(limit=window.limit))}))

    async def filter_schedules(self, inbound: Inbound) -> Reply:
        """POST functions/schedules/list."""
        who = await self._caller(inbound)
        query = read_schedule_query(await inbound.read())
        return Reply(body=dump({"items": await self._listed(who, query)}))

    async def retrieve_schedules(self, inbound: Inbound) -> Reply:
        """POST functions/schedules/byids."""
        who = await self._caller(inbound)
        ask = read_asked_calls(await inbound.read())
        found, missing = [], []
        for reference in ask.references:
            try:
                found.append(await self._schedule(who, reference.id or 0))
            except Missing:
                missing.append(reference)
        if missing and not ask.ignore_unknown:
            raise Missing("Schedule", missing)
        return Reply(body=dump({"items": await self._shown(who, found)}))

    async def delete_schedules(self, inbound: Inbound) -> Reply:
        """POST functions/schedules/delete: all of them, or none if one is unknown. Their calls stay."""
        who = await self._caller(inbound)
        ids = read_deleted_schedules(await inbound.read())
        found, missing = [], []
        for schedule_id in ids:
            try:
                found.append(await self._schedule(who, schedule_id))
            except Missing:
                missing.append(Reference(schedule_id))
        if missing:
            raise Missing("Schedule", missing)
        for schedule in found:
            await self._engine.schedules.delete(who, schedule.id)
            session_id = ScheduleData.of(schedule).session_id
            await self._sessions.let_go(who.project_id, session_id, inbound.received_at)
        return Reply(body=b"{}")

    async def get_schedule(self, inbound: Inbound) -> Reply:
        """GET functions/schedules/{id}."""
        who = await self._caller(inbound)
        schedule = await self._schedule(who, parse_id(inbound.variable("schedule_id"), "scheduleId"))
        [body] = await self._shown(who, [schedule])
        return Reply(body=dump(body))

    async def get_schedule_input(self, inbound: Inbound) -> Reply:
        """GET functions/schedules/{id}/input_data: ``data`` is left out if there is none."""
        who = await self._caller(inbound)
        schedule = await self._schedule(who, parse_id(inbound.variable("schedule_id"), "scheduleId"))
        start = b'{"id":%s' % schedule.id.encode()
        has_data = ScheduleData.of(schedule).has_data
        return Reply(body=start + (b',"data":%s}' % schedule.input if has_data else b"}"))

    # within

    async def _wanted(self, who: Principal, form: ScheduleForm) -> Package:
        """Return the function that shall be scheduled, which may still be in the making. Raises Missing, NotReady."""
        package = await self._function(who, form.function_id, form.function_external_id)
        if package is None or not is_id(package.id):
            raise Missing("Function", [Reference(form.function_id, form.function_external_id)])
        if (data := FunctionData.of(package)) is not None:
            status = data.status
        else:
            try:
                status = status_of(await self._engine.registry.version(who.project_id, package.id))
            except NotFound:
                return package
        if status == FAILED:
            raise not_ready(int(package.id), status)
        return package

    async def _function(self, who: Principal, function_id: int | None, external_id: str) -> Package | None:
        try:
            if function_id is not None:
                return await self._engine.registry.get_package(who, str(function_id))
            return await self._engine.registry.find_package(who, FACE, external_id)
        except NotFound:
            return None

    async def _bound(self, who: Principal, nonce: str, now_ms: int) -> int:
        """Spend the nonce; return the session that the schedule acts for. Raises BadNonce."""
        session = await self._sessions.bind(who.project_id, nonce, now_ms)
        if session is None:  # an installation without sessions; every schedule has one
            return await self._ticks.own_session(who, now_ms)
        return session.id

    async def _numbered(self, who: Principal, wanted: Schedule) -> Schedule:
        """Create a schedule under a number that is free. Raises as ``_created``."""
        for _ in range(_TRIES):
            try:
                return await self._created(who, wanted)
            except AlreadyExists:
                wanted = replace(wanted, id=str(await self._store.next_number(SCHEDULE_COUNTER)))
        raise Unavailable("No number is free for the schedule. Repeat the request.")

    async def _created(self, who: Principal, wanted: Schedule, *, validate_only: bool = False) -> Schedule:
        """Create a schedule. Raises as ``Schedules.create``, in the vendor's words."""
        try:
            return await self._engine.schedules.create(
                who,
                wanted,
                function_later=True,
                most_of_package=self._ticks.most_of_function,
                validate_only=validate_only,
            )
        except InvalidArgument as error:
            raise vendors(error) from None
        except NotFound:  # deleted in this moment
            raise Missing("Function", [Reference(int(wanted.package_id))]) from None

    async def _schedule(self, who: Principal, schedule_id: int) -> Schedule:
        try:
            schedule = await self._engine.schedules.get(who, str(schedule_id))
        except NotFound:
            schedule = None
        if schedule is None or schedule.face != FACE:
            raise Missing("Schedule", [Reference(schedule_id)])
        return schedule

    async def _listed(self, who: Principal, query: ScheduleQuery) -> Sequence[ScheduleBody]:
        function_id = None if query.function_id is None else str(query.function_id)
        if query.function_external_id is not None:
            function = await self._function(who, None, query.function_external_id)
            if function is None or function_id not in (None, function.id):
                return []
            function_id = function.id
        where = ScheduleFilter(
            face=FACE,
            package_id=function_id,
            display_name=query.name,
            cron=query.cron,
            created_after=query.created.min if query.created else None,
            created_before=query.created.until if query.created else None,
        )
        found = await self._engine.schedules.list(who, where, query.limit)
        return await self._shown(who, found.items)

    async def _shown(self, who: Principal, schedules: Sequence[Schedule]) -> Sequence[ScheduleBody]:
        external_ids: dict[str, str | None] = {}
        for package_id in {schedule.package_id for schedule in schedules}:
            function = await self._function(who, int(package_id), "")
            external_ids[package_id] = _external_id(function) if function is not None else None
        return [ScheduleBody.of(schedule, external_ids[schedule.package_id]) for schedule in schedules]


def _external_id(function: Package) -> str | None:
    return function.alias or function.labels.get(EXTERNAL_ID)
