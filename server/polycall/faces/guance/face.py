"""The Guance face: authenticate, read, run, and answer in the vendor's envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from polycall.domain import Convention, ExecutionState, LimitOverrides, Principal, Reason, Scope, Version
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import Code, NotFound, PolycallError, code_of
from polycall.faces.aside import aside
from polycall.faces.guance.envelope import Exchange
from polycall.faces.guance.errors import Failure, failed, failure_of, gateway_error_of
from polycall.faces.guance.request import Ask, Options, read_ask, read_options
from polycall.faces.guance.scripts import FuncName, TimeLimits
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump

__all__ = ["GuanceFace"]

_FACE = "guance"
_BODY_LIMIT = 64 * MIB
_LIMITS = LimitOverrides(memory_bytes=512 * MIB)  # the vendor's contract; time is reckoned for each call
_EARLY_S = 0.5  # a client that gives up after the limit, 10 s by default, still gets its answer


class GuanceFace:
    """Guance's OpenAPI gateway and the function engine behind it.

    ``auth_status`` is the HTTP status of a bad key: 403, or 401 as some installations of the vendor answer.
    """

    name = _FACE
    body_limit = _BODY_LIMIT

    def __init__(self, engine: Engine, *, auth_status: int = 403) -> None:
        self._engine = engine
        self._auth_status = auth_status
        self._time_limits = TimeLimits(engine.registry)
        self.handlers: Mapping[str, Handler] = {"ExecuteOuterFunction": self.execute}

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error of the gateway: those of the function level never get here."""
        gateway = gateway_error_of(error, self._auth_status)
        # the contract's code for a key that opens nothing is that of its status
        code = Code.PERMISSION_DENIED if gateway.status == 403 else code_of(error)
        return Exchange(inbound).gateway_error(gateway, code)

    async def execute(self, inbound: Inbound) -> Reply:
        """Run a function of a published script; ``execMode: async`` accepts the run and answers at once."""
        exchange = Exchange(inbound)
        who = await self._engine.keys.authenticate(inbound.headers.get("df-api-key"))
        require(who, Scope.RUN)
        body = await inbound.read()
        ask = await aside(len(body), read_ask, body)
        try:
            ended = await self._run(who, ask, exchange)
        except PolycallError as error:
            failure = failure_of(error, ask.func_id, exchange.task_id)
            if failure is None:
                raise
            ended = failure
        return ended if isinstance(ended, Reply) else await aside(ask.size, exchange.failure, ended, ask)

    async def _run(self, who: Principal, ask: Ask, exchange: Exchange) -> Reply | Failure:
        options = await aside(ask.size, read_options, ask.func_body, datetime.fromtimestamp(exchange.at / 1000, UTC))
        run, seconds = await self._prepare(who, ask.func_id, options)
        kept = RunOptions(face=_FACE, alias=exchange.task_id)
        if options.is_async:
            await self._engine.call(who, run, replace(kept, max_attempts=1))
            return exchange.success(_promise(exchange.task_id) if options.save_result else None)
        execution = await self._engine.run(who, run, replace(kept, expires_at=exchange.expires_at(seconds)))
        if execution.state is not ExecutionState.COMPLETED or execution.result is None:
            return failed(execution, ask.func_id, exchange.task_id)
        result = msgspec.Raw(execution.result)
        return exchange.value(result) if options.unfold else exchange.success({"result": result})

    async def _prepare(self, who: Principal, func_id: str, options: Options) -> tuple[FunctionRun, float]:
        """Return the run and the seconds it has. Raises NotFound, NotReady."""
        name = FuncName.parse(func_id)
        if name is None:
            raise NotFound(Reason.FUNCTION_NOT_FOUND, "polycall.v1.Function", func_id)
        version, function = await self._engine.registry.resolve(who.project_id, name.script_id, None, name.function)
        timing = await self._time_limits.of(version, function)
        seconds = timing.timeout_s if options.is_async else timing.synchronous_s(options.api_timeout_s) - _EARLY_S
        limits = self._limits(version, seconds)
        # what an asynchronous call returned may be asked for in any of the forms
        return_type = "ALL" if options.is_async else options.return_type
        run = FunctionRun(
            package_id=version.package_id,
            version_id=version.id,
            function=function.name,
            convention=Convention.KEYWORDS,
            input=options.kwargs,
            limits=limits,
            fresh=True,
            adapter=_FACE,  # inside.py, registered under this name
            adapter_options=dump({"returnType": return_type}),
        )
        return run, (limits.timeout_ms or 0) / 1000

    def _limits(self, version: Version, seconds: float) -> LimitOverrides:
        policy, own = self._engine.limits, version.limits
        most = policy.maximums.timeout_ms
        timeout_ms = min(int(seconds * 1000), own.timeout_ms or most, most)
        return replace(policy.where_unset(own, _LIMITS), timeout_ms=timeout_ms)


def _promise(task_id: str) -> Mapping[str, str]:
    return {"taskId": task_id, "resultURL": f"/api/v1/func-result?taskId={task_id}"}
