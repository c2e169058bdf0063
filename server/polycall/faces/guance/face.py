"""Guance's OpenAPI gateway: authenticate, read, run, and answer in the vendor's two envelopes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from polycall.domain import Principal, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.limits import MIB
from polycall.errors import Code, PolycallError, code_of
from polycall.faces.aside import aside
from polycall.faces.guance.calls import run_func
from polycall.faces.guance.catalog import FuncFilter, func_items, func_page, query_of
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import Failure, failure_of, gateway_error_of
from polycall.faces.guance.request import read_ask
from polycall.faces.guance.runs import FACE, FuncRuns
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import Malformed

__all__ = ["GuanceFace"]

_BODY_LIMIT = 64 * MIB
_MOST_PAGE = 1000


class GuanceFace:
    """The gateway's routes. ``auth_status``: the HTTP status of a bad key, 403, or 401 as some installations answer."""

    name = FACE
    body_limit = _BODY_LIMIT

    def __init__(self, engine: Engine, runs: FuncRuns, *, auth_status: int = 403) -> None:
        self._engine = engine
        self._runs = runs
        self._auth_status = auth_status
        self.handlers: Mapping[str, Handler] = {
            "ExecuteOuterFunction": self.execute,
            "ListOuterFunctions": self.list_funcs,
            "GetWorkspace": self.workspace,
            "ListAccessKeys": self.access_keys,
        }

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error of the gateway: those of the function level never get here."""
        gateway = gateway_error_of(error, self._auth_status)
        # the contract's code for a key that opens nothing is that of its status
        code = Code.PERMISSION_DENIED if gateway.status == 403 else code_of(error)
        return Exchange(inbound).gateway_error(gateway, code)

    async def execute(self, inbound: Inbound) -> Reply:
        """Run a function of a published script; ``execMode: async`` accepts the run and answers at once."""
        exchange = Exchange(inbound)
        who = await self._authenticate(inbound)
        require(who, Scope.RUN)
        body = await inbound.read()
        ask = await aside(len(body), read_ask, body)
        dump = Dump.of_func(ask.func_id, ask.func_body)
        try:
            ended = await run_func(self._engine, self._runs, who, exchange, dump, ask.func_id)
        except PolycallError as error:
            failure = failure_of(error, ask.func_id, exchange.task_id)
            if failure is None:
                raise
            ended = failure
        if isinstance(ended, Failure):
            return await aside(dump.size, exchange.failure, ended, dump)
        return exchange.value(ended.bare) if ended.bare is not None else exchange.success(ended.data)

    async def list_funcs(self, inbound: Inbound) -> Reply:
        """List the functions of published scripts; in pages if one is asked for."""
        who = reading(await self._authenticate(inbound))
        query = query_of(inbound.query)
        wanted = FuncFilter(
            fuzzy=query.get("_fuzzySearch", ""),
            ids=_words(query.get("funcId")),
            title=query.get("funcTitle", ""),
            tags=_words(query.get("funcTags")),
            script_ids=_words(query.get("funcScriptId")),
        )
        if "pageIndex" not in query and "pageSize" not in query:
            return Exchange(inbound).value(await func_items(self._engine, who, wanted))
        index = _number(query.get("pageIndex", "1"), "pageIndex")
        size = _number(query.get("pageSize", "20"), "pageSize")
        page, total = await func_page(self._engine, who, wanted, (index - 1) * size, size)
        info = {"count": len(page), "pageIndex": index, "pageSize": size, "totalCount": total}
        return Exchange(inbound).value(page, info)

    async def workspace(self, inbound: Inbound) -> Reply:
        """Describe the key's workspace, which is its project."""
        who = await self._authenticate(inbound)
        uuid, token = (f"{kind}_{_digest(f'{kind}:{who.project_id}')}" for kind in ("wksp", "tkn"))
        return Exchange(inbound).value({"language": "en", "token": token, "uuid": uuid})

    async def access_keys(self, inbound: Inbound) -> Reply:
        """List the keys that can be shown: the caller's own, as others are kept nowhere."""
        await self._authenticate(inbound)
        key = inbound.headers.get("df-api-key", "")
        return Exchange(inbound).value([{"ak": key, "sk": key.rpartition("_")[2]}])

    async def _authenticate(self, inbound: Inbound) -> Principal:
        return await self._engine.keys.authenticate(inbound.headers.get("df-api-key"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _words(text: str | None) -> frozenset[str]:
    return frozenset(word for word in (text or "").split(",") if word)


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MOST_PAGE:
        raise Malformed.of(name, f"must be a number from 1 to {_MOST_PAGE}")
    return int(text)
