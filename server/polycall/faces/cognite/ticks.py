"""What ticks of schedules are in this contract: calls that act for the session of their schedule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from polycall.domain import Principal, Reason, Schedule
from polycall.engine.cron import Cron
from polycall.engine.engine import Engine
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import FailedPrecondition, FieldViolation, InvalidArgument
from polycall.faces.cognite.calldata import CallData
from polycall.faces.cognite.requests import SessionForm, is_id
from polycall.faces.cognite.resource import FACE
from polycall.faces.cognite.runs import CALL_COUNTER, function_run
from polycall.faces.cognite.schedules import LONGEST_NAME, ScheduleData
from polycall.faces.cognite.sessions import Sessions, SessionsStore
from polycall.ids import now_ms
from polycall.store.protocol import ScheduleFilter, ScheduleStore

__all__ = ["SCHEDULE_COUNTER", "Ticks"]

SCHEDULE_COUNTER = "cognite_schedules"
_NO_DATA = b"null"
# A session lasts this much longer than the next tick, which makes it last on: so it ends by itself once its schedule is
# gone, whichever way. It is as long as one that was bound to a call.
_KEPT_MS = 3_600_000
_PAGE = 1000


class TicksStore(SessionsStore, ScheduleStore, Protocol):
    """What ticks need of the store."""


class Ticks:
    """Says how the schedules of this contract run; implements ``polycall.engine.plans.FaceSchedules``."""

    most_of_function = 100  # the vendor's; those of a project are the operator's setting

    def __init__(self, engine: Engine, store: TicksStore, sessions: Sessions) -> None:
        self._engine = engine
        self._store = store
        self._sessions = sessions

    async def plan(self, schedule: Schedule) -> tuple[FunctionRun, RunOptions]:
        """Return the call that a tick of a schedule makes. Raises FailedPrecondition, NotReady: there is none."""
        run = await function_run(self._engine, schedule.project_id, int(schedule.package_id), schedule.input)
        session_id = ScheduleData.of(schedule).session_id
        if not await self.keep_session(schedule):
            raise FailedPrecondition(
                f"Session {session_id}, for which this schedule acts, was revoked or is gone. Create it anew.",
                subject=f"sessions/{session_id}",
                reason=Reason.SESSION_NOT_FOUND,
            )
        options = RunOptions(
            face=FACE,
            alias=str(await self._store.next_number(CALL_COUNTER)),
            face_data=CallData(session_id=session_id).dump(),
            max_attempts=1,
        )
        return run, options

    def check(self, schedule: Schedule) -> None:
        """Raise InvalidArgument for a natively made schedule that the vendor's clients could not read."""
        wrong = [
            FieldViolation(field, f"must be an integer from 1 to 2^53 - 1, got {text!r}")
            for field, text in (("schedule_id", schedule.id or "1"), ("schedule.function", schedule.package_id))
            if not is_id(text)
        ]
        if schedule.timezone != "UTC":
            wrong.append(FieldViolation("schedule.timezone", "must be UTC: this contract has no other"))
        if schedule.input != _NO_DATA and not schedule.input.lstrip().startswith(b"{"):
            wrong.append(FieldViolation("schedule.input_json", "must be an object, or null for none"))
        if not 0 < len(schedule.display_name) <= LONGEST_NAME:
            wrong.append(FieldViolation("schedule.display_name", f"must have 1 to {LONGEST_NAME} characters"))
        if wrong:
            raise InvalidArgument(wrong)

    async def adopted(self, who: Principal, schedule: Schedule) -> Schedule:
        """Return a natively made schedule as one of this contract, with a session of whoever makes it."""
        has_data = schedule.input != _NO_DATA
        data = ScheduleData(session_id=await self.own_session(who, now_ms()), has_data=has_data)
        return replace(
            schedule,
            id=schedule.id or str(await self._store.next_number(SCHEDULE_COUNTER)),
            input=schedule.input.strip() if has_data else b"{}",
            face_data=data.dump(),
        )

    async def keep_session(self, schedule: Schedule) -> bool:
        """Let the session of a schedule last past its next tick; False: it was revoked, or is gone."""
        now = now_ms()
        until = (Cron.kept(schedule.cron, schedule.timezone).after(now) or now) + _KEPT_MS
        session_id = ScheduleData.of(schedule).session_id
        return await self._sessions.acting(schedule.project_id, session_id, until) is not None

    async def held_sessions(self, project_id: str) -> Collection[int]:
        """Return the sessions that schedules of a project act for, also those that are paused. Raises Unavailable."""
        held, token = set[int](), ""
        while True:
            page = await self._store.list_schedules(project_id, ScheduleFilter(face=FACE), _PAGE, token)
            held.update(ScheduleData.of(schedule).session_id for schedule in page.items)
            token = page.next_token
            if not token:
                return held

    async def own_session(self, who: Principal, now_ms: int) -> int:
        """Make a session that acts for a caller, bind it, and return its id. Raises PermissionDenied."""
        session, nonce = await self._sessions.open(who, SessionForm("TOKEN_EXCHANGE", None), now_ms)
        await self._sessions.bind(who.project_id, nonce, now_ms)
        return session.id
