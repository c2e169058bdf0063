"""The xpander face: authenticate, find, check, run, show."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import LimitOverrides, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump
from polycall.faces.xpander.failures import failed
from polycall.faces.xpander.functions import FACE, Functions
from polycall.faces.xpander.items import CONNECTOR, tool_of
from polycall.faces.xpander.parameters import read_parameters
from polycall.faces.xpander.queries import read_page
from polycall.faces.xpander.requests import Requests
from polycall.faces.xpander.results import answer

__all__ = ["XpanderFace"]

_BODY_LIMIT = 16 * MIB  # contract, section 8
# Contract, section 7. It has no limit of the result: as much as may come in.
_LIMITS = LimitOverrides(timeout_ms=15_000, memory_bytes=256 * MIB, result_bytes=16 * MIB)
_PREFLIGHT = "x-preflight-check"


class XpanderFace:
    """xpander.ai's custom functions over the engine."""

    name = FACE
    body_limit = _BODY_LIMIT

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._functions = Functions(engine)
        self._requests = Requests(engine.limits.minimums, engine.limits.maximums)
        self.handlers: Mapping[str, Handler] = {
            "ListCustomFunctions": self.list_custom_functions,
            "CreateCustomFunction": self.create_custom_function,
            "GetCustomFunction": self.get_custom_function,
            "UpdateCustomFunction": self.update_custom_function,
            "DeleteCustomFunction": self.delete_custom_function,
            "ExecuteCustomFunction": self.execute_custom_function,
            "GetTool": self.get_tool,
            "InvokeTool": self.invoke_tool,
            "InvokeOperation": self.invoke_tool,
            "GetHealth": self.get_health,
        }

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def list_custom_functions(self, inbound: Inbound) -> Reply:
        """GET /v1/custom_functions: a page of functions, without their sources."""
        who = await self._who(inbound)
        require(who, Scope.READ)
        return Reply(body=dump(await self._functions.list(who, read_page(inbound.query))))

    async def create_custom_function(self, inbound: Inbound) -> Reply:
        """POST /v1/custom_functions: a function that is being analysed."""
        who = await self._who(inbound)
        require(who, Scope.DEPLOY)
        change = self._requests.create(await inbound.read())
        return Reply(body=dump(await self._functions.create(who, change)), status=201)

    async def get_custom_function(self, inbound: Inbound) -> Reply:
        """GET /v1/custom_functions/{function_id}: a function with its source."""
        who = await self._who(inbound)
        return Reply(body=dump(await self._functions.get(who, inbound.variable("function_id"))))

    async def update_custom_function(self, inbound: Inbound) -> Reply:
        """PATCH /v1/custom_functions/{function_id}: the function as it is then."""
        who = await self._who(inbound)
        function_id = inbound.variable("function_id")
        await self._functions.check_own(who, function_id)
        change = self._requests.update(await inbound.read())
        return Reply(body=dump(await self._functions.update(who, function_id, change)))

    async def delete_custom_function(self, inbound: Inbound) -> Reply:
        """DELETE /v1/custom_functions/{function_id}: nothing."""
        who = await self._who(inbound)
        await self._functions.delete(who, inbound.variable("function_id"))
        return Reply(body=b"", status=202)

    async def execute_custom_function(self, inbound: Inbound) -> Reply:
        """POST /v1/custom_functions/{function_id}/execute: the body is the parameters, the answer is the result."""
        who = await self._who(inbound)
        require(who, Scope.RUN)
        return await self._run(who, inbound.variable("function_id"), inbound)

    async def get_tool(self, inbound: Inbound) -> Reply:
        """GET /tools/{tool_id}: a function as the SDK's tool."""
        who = await self._who(inbound)
        package, function = await self._functions.tool(who, _function_id(inbound))
        return Reply(body=dump(tool_of(package, function)))

    async def invoke_tool(self, inbound: Inbound) -> Reply:
        """POST /tools/{tool_id} and /agents/{agent_id}/operations/{tool_id}: as execute, or whether one may."""
        who = await self._who(inbound)
        require(who, Scope.RUN)
        function_id = _function_id(inbound)
        if inbound.headers.get(_PREFLIGHT, "").strip().lower() == "true":
            await self._functions.callable(who, function_id)
            return Reply(body=b"{}")
        return await self._run(who, function_id, inbound)

    async def get_health(self, _: Inbound) -> Reply:
        """GET /health: that there is somebody."""
        return Reply(body=b'"ok"')

    # within

    async def _who(self, inbound: Inbound) -> Principal:
        key = inbound.headers.get("x-api-key", "").strip() or bearer(inbound.headers)
        return await self._engine.keys.authenticate(key)

    async def _run(self, who: Principal, function_id: str, inbound: Inbound) -> Reply:
        version, function = await self._functions.callable(who, function_id)
        body = await inbound.read()
        parameters = await aside(len(body), read_parameters, function, body)
        run = FunctionRun(
            package_id=version.package_id,
            version_id=version.id,
            function=function.name,
            input=parameters,
            limits=self._engine.limits.where_unset(version.limits, _LIMITS),
            fresh=True,
        )
        return answer(await self._engine.run(who, run, RunOptions(face=FACE, expires_at=inbound.expires_at)))


def _function_id(inbound: Inbound) -> str:
    """Return the id of a function out of that of its tool. Raises NotFound."""
    tool_id = inbound.variable("tool_id")
    connector, _, function_id = tool_id.partition("_")
    if connector != CONNECTOR:
        raise NotFound(Reason.FUNCTION_NOT_FOUND, "xpander.Tool", tool_id)
    return function_id
