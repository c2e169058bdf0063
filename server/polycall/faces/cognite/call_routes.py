"""Lists of a function's calls."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import ExecutionFilter
from polycall.engine.engine import Engine
from polycall.errors import NotFound
from polycall.faces.cognite.calls import CallBody, states_of
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.filters import CallFilter, read_call_filter
from polycall.faces.cognite.queries import Window, read_query, read_window
from polycall.faces.cognite.requests import Reference, parse_id, parse_optional_id
from polycall.faces.cognite.resource import FACE, Resource, page
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import Malformed, dump

__all__ = ["CallRoutes"]


class CallRoutes(Resource):
    """CogniteCallService."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.handlers: Mapping[str, Handler] = {"ListCalls": self.list_calls, "FilterCalls": self.filter_calls}

    async def list_calls(self, inbound: Inbound) -> Reply:
        """GET functions/{id}/calls."""
        query = read_query(inbound.query)
        schedule_id = parse_optional_id(query.get("scheduleId", ""), "scheduleId")
        wanted = CallFilter(status=query.get("status") or None, schedule_id=schedule_id)
        return await self._listed(inbound, wanted, read_window(query))

    async def filter_calls(self, inbound: Inbound) -> Reply:
        """POST functions/{id}/calls/list."""
        wanted, window = read_call_filter(await inbound.read())
        return await self._listed(inbound, wanted, window)

    async def _listed(self, inbound: Inbound, wanted: CallFilter, window: Window) -> Reply:
        who = await self._caller(inbound)
        function_id = parse_id(inbound.variable("function_id"), "functionId")
        try:
            await self._engine.registry.get_package(who, str(function_id))
        except NotFound:
            raise Missing("Function", [Reference(function_id)]) from None
        states = states_of(wanted.status)
        if states is None:
            raise Malformed.of("filter.status", "must be Running, Completed, Failed or Timeout")
        start, end = wanted.start_time, wanted.end_time
        where = ExecutionFilter(
            states=states,
            package_id=str(function_id),
            face=FACE,
            schedule_id=None if wanted.schedule_id is None else str(wanted.schedule_id),
            queued_after=start.min if start else None,
            queued_before=start.until if start else None,
            ended_after=end.min if end else None,
            ended_before=end.until if end else None,
        )
        found = await page(self._engine.executions.list(who, where, window.limit, window.cursor, ascending=True))
        body: dict[str, object] = {"items": [CallBody.of(execution) for execution in found.items]}
        if found.next_token:
            body["nextCursor"] = found.next_token
        return Reply(body=dump(body))
