"""Riza's executions: what was run through this contract, with its request and its answer."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import Execution, ExecutionFilter, ExecutionState, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.errors import InvalidArgument, NotFound
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.executions import ExecutionBody
from polycall.faces.riza.pages import PAGE_BYTES, read_page, read_query
from polycall.faces.riza.records import Records
from polycall.faces.riza.resource import FACE, Resource
from polycall.faces.wire import dump
from polycall.ids import from_ulid

__all__ = ["ExecutionsFace"]

_ENDED = tuple(state for state in ExecutionState if state.final)
_FAILED = tuple(state for state in _ENDED if state is not ExecutionState.COMPLETED)
_KEPT_MS = 30 * 24 * 3600 * 1000  # how long the contract shows one; the server may keep it for longer
_FLAGS = {"": False, "false": False, "true": True}


class ExecutionsFace(Resource):
    """``/v1/executions``."""

    def __init__(self, engine: Engine, records: Records) -> None:
        super().__init__(engine)
        self._records = records
        self.handlers: Mapping[str, Handler] = {"ListExecutions": self.list, "GetExecution": self.get}

    async def list(self, inbound: Inbound) -> Reply:
        """GET /v1/executions: what has ended, the newest first; fewer than asked for where they are large."""
        who = await self._caller(inbound, Scope.READ)
        query = read_query(inbound.query)
        ask = read_page(query)
        failed = _FLAGS.get(query.get("only_non_zero_exit_codes", ""))
        if failed is None:
            raise InvalidArgument.of("only_non_zero_exit_codes", "must be true or false")
        before = None if ask.after is None else from_ulid(ask.after)
        if ask.after is not None and before is None:
            return _page([])
        where = ExecutionFilter(
            states=_FAILED if failed else _ENDED,
            face=FACE,
            before=before,
            failed_exit=failed,
            queued_after=inbound.received_at - _KEPT_MS,
        )
        found = await self._engine.executions.list_with_bodies(who, where, ask.limit)
        shown: list[bytes] = []
        size = 0
        for listed in found:
            # large ones are read one by one, so that no more of them are held than a page has room for
            body = await self._shown(
                listed.execution if listed.whole else await self._engine.executions.get(who, listed.execution.id)
            )
            size += len(body)
            if shown and size > PAGE_BYTES:
                break
            shown.append(body)
        return _page(shown)

    async def get(self, inbound: Inbound) -> Reply:
        """GET /v1/executions/{id}."""
        who = await self._caller(inbound, Scope.READ)
        wanted = inbound.variable("execution_id")
        execution = await self._found(who, wanted, inbound.received_at - _KEPT_MS)
        if execution is None:
            shown = wanted[:64]
            raise NotFound(
                Reason.EXECUTION_NOT_FOUND, "riza.Execution", shown, f"There is no execution {shown!r} in this project."
            )
        return Reply(body=await self._shown(execution))

    # within

    async def _found(self, who: Principal, wanted: str, after_ms: int) -> Execution | None:
        """Return an execution of this face that has ended and is not older than a time; None for any other id."""
        execution_id = from_ulid(wanted)
        if execution_id is None:
            return None
        try:
            execution = await self._engine.executions.get(who, execution_id)
        except NotFound:
            return None
        shown = execution.face == FACE and execution.state.final and execution.queued_at >= after_ms
        return execution if shown else None

    async def _shown(self, execution: Execution) -> bytes:
        size = len(execution.stdout) + len(execution.stderr) + len(execution.sealed or "")
        return await aside(size, lambda: dump(ExecutionBody.of(execution, self._records.read(execution))))


def _page(shown: list[bytes]) -> Reply:
    return Reply(body=b'{"data":[%s]}' % b",".join(shown))
