"""Riza's commands: code that comes with its request runs at once, in one synchronous call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from polycall.domain import Execution, Principal, Scope
from polycall.engine.engine import Engine
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.requests import Bounds, Call, read_function_call, read_script_call
from polycall.faces.riza.resource import Resource
from polycall.faces.riza.results import ExecutionResult, FunctionResult
from polycall.faces.riza.runs import Runs
from polycall.faces.wire import dump

__all__ = ["CommandsFace"]


class CommandsFace(Resource):
    """``/v1/execute`` and ``/v1/execute-function``. ``bounds``: how much a request may ask for."""

    def __init__(self, engine: Engine, runs: Runs, bounds: Bounds) -> None:
        super().__init__(engine)
        self._runs = runs
        self._bounds = bounds
        self.handlers: Mapping[str, Handler] = {
            "Execute": self.execute,
            "ExecuteFunction": self.execute_function,
        }

    async def execute_function(self, inbound: Inbound) -> Reply:
        """POST /v1/execute-function: run the code that came along; 200 also if it fails."""
        return await self._executed(inbound, read_function_call, FunctionResult.of)

    async def execute(self, inbound: Inbound) -> Reply:
        """POST /v1/execute: run the script that came along; 200 also if it fails."""
        return await self._executed(inbound, read_script_call, ExecutionResult.of)

    async def _executed(
        self, inbound: Inbound, read: Callable[[bytes, Bounds], Call], show: Callable[[Execution], object]
    ) -> Reply:
        who = await self._caller(inbound, Scope.RUN)
        call = await self._read(inbound, lambda body: read(body, self._bounds))
        ended = await self._runs.run(who, await self._with_runtime(who, call), inbound)
        size = len(ended.stdout) + len(ended.stderr)
        return Reply(body=await aside(size, lambda: dump(show(ended))))

    async def _with_runtime(self, who: Principal, call: Call) -> Call:
        """Return the call to be run on the revision that it names. Raises NotFound."""
        if call.runtime_revision_id is None:
            return call
        return replace(call, run=replace(call.run, runtime=await self._runs.runtime(who, call.runtime_revision_id)))
