"""The Cognite face: authenticate, read, ask the engine, show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from polycall.domain import (
    Execution,
    ExecutionFilter,
    Principal,
    Reason,
    Scope,
    Version,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.requests import RunOptions
from polycall.errors import FailedPrecondition, NotFound
from polycall.faces.cognite.calldata import CallData
from polycall.faces.cognite.calls import CallBody, ResponseBody
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.functions import EXTERNAL_ID, Deployed, FunctionBody
from polycall.faces.cognite.logs import log_entries
from polycall.faces.cognite.requests import (
    Reference,
    is_id,
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

# External ids are labels, and labels have no index: so many packages are looked through, then the caller is told.
_PAGE, _PAGES = 1000, 20


class CogniteFace(Resource):
    """CogniteService: Cognite Functions over the engine."""

    def __init__(self, engine: Engine, store: SessionsStore, sessions: Sessions) -> None:
        super().__init__(engine)
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
        ids = await self._resolved(who, ask.references)
        bodies = [await self._function(who, ids.get(reference)) for reference in ask.references]
        missing = [reference for reference, body in zip(ask.references, bodies, strict=True) if body is None]
        if missing and not ask.ignore_unknown:
            raise Missing("Function", missing)
        return Reply(body=dump({"items": [body for body in bodies if body is not None]}))

    async def get_function(self, inbound: Inbound) -> Reply:
        """GET functions/{id}."""
        who = await self._caller(inbound)
        function_id = parse_id(inbound.variable("function_id"), "functionId")
        body = await self._function(who, str(function_id))
        if body is None:
            raise Missing("Function", [Reference(function_id)])
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
            face_data=CallData(session_id=session.id if session is not None else None).dump(),
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
        chunks = await self._engine.output(who, execution.id)
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
        execution = await self._engine.find(who, FACE, call_id)
        if execution.package_id != str(function_id):  # calls belong to their function
            raise Missing("Function call", [Reference(int(call_id))])
        return execution

    async def _check_function(self, who: Principal, function_id: int) -> None:
        try:
            await self._engine.registry.get_package(who, str(function_id))
        except NotFound:
            raise Missing("Function", [Reference(function_id)]) from None

    async def _resolved(self, who: Principal, references: Sequence[Reference]) -> dict[Reference, str]:
        """Return the package ids of what is referred to; external ids that are unknown are left out."""
        ids = {reference: str(reference.id) for reference in references if reference.id is not None}
        wanted = {reference.external_id: reference for reference in references if reference.id is None}
        token = ""
        for _ in range(_PAGES if wanted else 0):
            page = await self._engine.registry.list_packages(who, _PAGE, token)
            for package in page.items:
                external_id = package.labels.get(EXTERNAL_ID)
                if external_id in wanted and is_id(package.id):
                    ids.setdefault(wanted[external_id], package.id)
            token = page.next_token
            if not token or ids.keys() >= set(wanted.values()):
                return ids
        if wanted:
            raise FailedPrecondition("The project has too many packages to look up an external id; use the id.")
        return ids

    async def _function(self, who: Principal, package_id: str | None) -> FunctionBody | None:
        if package_id is None:
            return None
        version: Version | None = None
        try:
            package = await self._engine.registry.get_package(who, package_id)
            version = await self._engine.registry.version(who.project_id, package_id)
        except NotFound as error:
            if error.reason is not Reason.VERSION_NOT_FOUND:
                return None
        newest = await self._engine.list(who, ExecutionFilter(package_id=package_id, face=FACE), 1)
        last_called = newest.items[0].queued_at if newest.items else None
        return FunctionBody.of(Deployed(package, version), last_called)
