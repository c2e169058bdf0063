"""The Cognite face: authenticate, read, ask the engine, show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from polycall.domain import (
    Execution,
    Principal,
    Scope,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.requests import RunOptions
from polycall.errors import NotFound
from polycall.faces.cognite.calldata import CallData
from polycall.faces.cognite.calls import CallBody, ResponseBody
from polycall.faces.cognite.catalogue import Catalogue
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.logs import log_entries
from polycall.faces.cognite.requests import (
    Reference,
    parse_id,
    read_asked_calls,
    read_asked_functions,
    read_call,
    read_session,
)
from polycall.faces.cognite.resource import FACE, Resource
from polycall.faces.cognite.runs import CALL_COUNTER, function_run
from polycall.faces.cognite.sessions import CreatedBody, Sessions, SessionsStore
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump

__all__ = ["CogniteFace"]


class CogniteFace(Resource):
    """CogniteService: Cognite Functions over the engine."""

    def __init__(self, engine: Engine, store: SessionsStore, sessions: Sessions, catalogue: Catalogue) -> None:
        super().__init__(engine)
        self._catalogue = catalogue
        self._store = store
        self._sessions = sessions
        self.handlers: Mapping[str, Handler] = {
            "CreateSessions": self.create_sessions,
            "RetrieveFunctions": self.retrieve_functions,
            "GetFunction": self.get_function,
            "CallFunction": self.call_function,
            "RetrieveCalls": self.retrieve_calls,
            "GetCall": self.get_call,
            "GetCallResponse": self.get_call_response,
            "GetCallLogs": self.get_call_logs,
        }

    # sessions

    async def create_sessions(self, inbound: Inbound) -> Reply:
        """POST sessions: open one, answer its nonce."""
        who = await self._caller(inbound)
        form = read_session(await inbound.read())
        session, nonce = await self._sessions.open(who, form, inbound.received_at)
        return Reply(body=dump({"items": [CreatedBody.of(session, nonce)]}))

    # functions

    async def retrieve_functions(self, inbound: Inbound) -> Reply:
        """POST functions/byids."""
        who = await self._caller(inbound)
        ask = read_asked_functions(await inbound.read())
        found = await self._catalogue.find(who, ask.references)
        missing = [reference for reference in ask.references if reference not in found]
        if missing and not ask.ignore_unknown:
            raise Missing("Function", missing)
        packages = [found[reference] for reference in ask.references if reference in found]
        return Reply(body=dump({"items": await self._catalogue.shown(who, packages)}))

    async def get_function(self, inbound: Inbound) -> Reply:
        """GET functions/{id}."""
        who = await self._caller(inbound)
        reference = Reference(parse_id(inbound.variable("function_id"), "functionId"))
        found = await self._catalogue.find(who, [reference])
        if not found:
            raise Missing("Function", [reference])
        [body] = await self._catalogue.shown(who, list(found.values()))
        return Reply(body=dump(body))

    # calls

    async def call_function(self, inbound: Inbound) -> Reply:
        """POST functions/{id}/call: 201 once the call is durable.

        The nonce is spent last, after everything that can be refused was refused; then the call is made. If that fails
        all the same (the store is gone), the nonce is spent: running code twice would be worse than a new session.
        """
        who = await self._caller(inbound)
        function_id = parse_id(inbound.variable("function_id"), "functionId")
        form = read_call(await inbound.read())
        require(who, Scope.RUN)
        run = await function_run(self._engine, who.project_id, function_id, form.data)
        await self._engine.call(who, run, RunOptions(face=FACE, max_attempts=1, validate_only=True))
        call_id = await self._store.next_number(CALL_COUNTER)
        session = await self._sessions.bind(who.project_id, form.nonce, inbound.received_at)
        options = RunOptions(
            face=FACE,
            alias=str(call_id),
            face_data=CallData.for_session(session).dump(),
            max_attempts=1,
        )
        execution = await self._engine.call(who, run, options)
        return Reply(body=dump(CallBody.of(execution)), status=201)

    async def retrieve_calls(self, inbound: Inbound) -> Reply:
        """POST functions/{id}/calls/byids."""
        who = await self._caller(inbound)
        function_id = parse_id(inbound.variable("function_id"), "functionId")
        ask = read_asked_calls(await inbound.read())
        found, missing = [], []
        for reference in ask.references:
            try:
                found.append(CallBody.of(await self._execution(who, function_id, str(reference.id))))
            except NotFound:
                missing.append(reference)
        if missing:
            await self._check_function(who, function_id)
            if not ask.ignore_unknown:
                raise Missing("Function call", missing)
        return Reply(body=dump({"items": found}))

    async def get_call(self, inbound: Inbound) -> Reply:
        """GET functions/{id}/calls/{callId}."""
        _, execution = await self._asked_call(inbound)
        return Reply(body=dump(CallBody.of(execution)))

    async def get_call_response(self, inbound: Inbound) -> Reply:
        """GET functions/{id}/calls/{callId}/response."""
        _, execution = await self._asked_call(inbound)
        return Reply(body=dump(ResponseBody.of(execution)))

    async def get_call_logs(self, inbound: Inbound) -> Reply:
        """GET functions/{id}/calls/{callId}/logs, also while the call runs."""
        who, execution = await self._asked_call(inbound)
        chunks = await self._engine.executions.output(who, execution.id)
        # megabytes of lines take tenths of a second: not on the loop
        body = await asyncio.to_thread(lambda: dump({"items": log_entries(chunks, execution)}))
        return Reply(body=body)

    # within

    async def _asked_call(self, inbound: Inbound) -> tuple[Principal, Execution]:
        who = await self._caller(inbound)
        function_id = parse_id(inbound.variable("function_id"), "functionId")
        call_id = parse_id(inbound.variable("call_id"), "callId")
        try:
            return who, await self._execution(who, function_id, str(call_id))
        except NotFound:
            await self._check_function(who, function_id)
            raise Missing("Function call", [Reference(call_id)]) from None

    async def _execution(self, who: Principal, function_id: int, call_id: str) -> Execution:
        execution = await self._engine.executions.find(who, FACE, call_id)
        if execution.package_id != str(function_id):  # calls belong to their function
            raise Missing("Function call", [Reference(int(call_id))])
        return execution

    async def _check_function(self, who: Principal, function_id: int) -> None:
        try:
            await self._engine.registry.get_package(who, str(function_id))
        except NotFound:
            raise Missing("Function", [Reference(function_id)]) from None
