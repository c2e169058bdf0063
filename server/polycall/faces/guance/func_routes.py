"""DataFlux Func's own routes of calls: functions, drafts, results, lists."""

from __future__ import annotations

from polycall.domain import Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading
from polycall.errors import PolycallError
from polycall.faces.aside import aside
from polycall.faces.guance.auth_links import AuthLinks
from polycall.faces.guance.bare import BareFace, answering
from polycall.faces.guance.calls import run_func
from polycall.faces.guance.catalog import FuncFilter, func_items, query_of
from polycall.faces.guance.drafts import Drafts
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import Failure, Refused, failure_of
from polycall.faces.guance.request import RETURN_TYPES, read_choice
from polycall.faces.guance.results import kept_result
from polycall.faces.guance.runs import FuncRuns
from polycall.faces.guance.v1 import guance_funcs_pb2
from polycall.faces.reply import Inbound, Reply
from polycall.faces.wire import raw_members

__all__ = ["FuncRoutes", "filter_of"]

_SERVICE = guance_funcs_pb2.DESCRIPTOR.services_by_name["GuanceFuncService"]


class FuncRoutes(BareFace):
    """Calls in the function level's envelope, without the gateway around it."""

    def __init__(self, engine: Engine, runs: FuncRuns, drafts: Drafts, links: AuthLinks) -> None:
        super().__init__(engine, _SERVICE)
        self._runs = runs
        self._drafts = drafts
        self.handlers = {
            "CallFunc": self.call,
            "CallFuncDraft": self.call_draft,
            "GetFuncResult": self.result,
            "ListFuncs": answering(self.list_funcs),
            "CallAuthLink": links.call,
            "OpenAuthLink": links.open,
        }

    async def call(self, inbound: Inbound) -> Reply:
        """Run a function of a published script."""
        exchange = Exchange(inbound)
        who = await self.who(inbound, Scope.RUN)
        func_id = inbound.variable("func_id")
        dump = Dump.of_func(func_id, await _body(inbound))
        try:
            ended = await run_func(self.engine, self._runs, who, exchange, dump, func_id)
        except PolycallError as error:
            failure = failure_of(error, func_id, exchange.task_id)
            if failure is None:
                raise
            ended = failure
        if isinstance(ended, Failure):
            return await aside(dump.size, exchange.bare_failure, ended, dump)
        return Reply(body=bytes(ended.bare)) if ended.bare is not None else exchange.bare_success(ended.data)

    async def call_draft(self, inbound: Inbound) -> Reply:
        """Run a function of a script as it is written now."""
        exchange = Exchange(inbound)
        who = await self.who(inbound, Scope.RUN, Scope.DEPLOY)
        func_id = inbound.variable("func_id")
        dump = Dump(f"/api/v1/func-draft/{func_id}", await _body(inbound))
        try:
            ended = await self._drafts.call(who, exchange, dump, func_id)
        except PolycallError as error:
            failure = failure_of(error, func_id, exchange.task_id)
            if failure is None:
                raise
            ended = failure
        if isinstance(ended, Failure):
            return await aside(dump.size, exchange.bare_failure, ended, dump)
        return exchange.bare_success(ended.data)

    async def result(self, inbound: Inbound) -> Reply:
        """Return a result that was kept."""
        exchange = Exchange(inbound)
        who = await self.who(inbound, Scope.RUN)
        query = query_of(inbound.query)
        task_id = query.get("taskId", "")
        if not task_id:
            raise Refused.bad_body("Field `taskId` is required.")
        return_type = read_choice(query.get("returnType") or "raw", "returnType", RETURN_TYPES)
        unfold = read_choice(query.get("unfold") or "false", "unfold", ("true", "false")) == "true"
        found = await kept_result(self.engine, who, task_id, return_type)
        if isinstance(found, Failure):
            return exchange.bare_failure(found, self.dump(inbound))
        return Reply(body=bytes(found)) if unfold else exchange.bare_success({"result": found})

    async def list_funcs(self, inbound: Inbound) -> object:
        """List the functions of published scripts."""
        who = reading(await self.who(inbound))
        return await func_items(self.engine, who, filter_of(inbound.query))


def filter_of(query: str) -> FuncFilter:
    """Read the filters of the function level's lists."""
    given = query_of(query)

    def words(name: str) -> frozenset[str]:
        return frozenset(word for word in given.get(name, "").split(",") if word)

    return FuncFilter(
        fuzzy=given.get("_fuzzySearch", ""),
        ids=words("id"),
        name=given.get("name", ""),
        title=given.get("title", ""),
        categories=words("category"),
        integrations=words("integration"),
        tags=words("tags"),
        script_ids=words("scriptId"),
        script_set_ids=words("scriptSetId"),
    )


async def _body(inbound: Inbound) -> bytes | None:
    body = (await inbound.read()).strip()
    if body in (b"", b"null"):
        return None
    if body.startswith(b"{") and not await aside(len(body), raw_members, body):
        return None
    return body
