"""The Guance face: authenticate, read, run, and answer in the vendor's envelopes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources

import msgspec

from polycall.domain import Convention, ExecutionState, LimitOverrides, Principal, Reason, Scope, Version
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import Code, DeadlineExceeded, NotFound, PayloadTooLarge, PolycallError, code_of
from polycall.faces.guance.envelope import Exchange, new_task_id
from polycall.faces.guance.errors import failed, failure_of, gateway_error_of, timed_out
from polycall.faces.guance.request import Ask, Options, read_ask, read_options
from polycall.faces.guance.scripts import FuncName, TimeLimits
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import Malformed, dump, gunzip

__all__ = ["ADAPTER", "GuanceFace"]

ADAPTER = resources.files(__package__ or "").joinpath("inside.py").read_text("utf-8")  # registered under "guance"

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
        """Word an error the vendor's way: of the gateway, or inside ``content``."""
        exchange = Exchange(inbound)
        gateway = gateway_error_of(error, self._auth_status)
        if gateway is not None:
            # the contract's code for a key that opens nothing is that of its status
            return exchange.gateway_error(gateway, Code.PERMISSION_DENIED if gateway.status == 403 else code_of(error))
        try:
            ask = read_ask(gunzip(inbound.body, inbound.headers.get("content-encoding", ""), inbound.body_limit))
        except (Malformed, PayloadTooLarge):  # it never got so far as to be read
            ask = Ask("", None)
        return exchange.failure(failure_of(error, ask.func_id, new_task_id()), ask)

    async def execute(self, inbound: Inbound) -> Reply:
        """Run a function of a published script; ``execMode: async`` accepts the run and answers at once."""
        begun = time.monotonic()
        who = await self._engine.keys.authenticate(inbound.headers.get("df-api-key"))
        require(who, Scope.RUN)
        ask = read_ask(await inbound.read())
        options = read_options(ask.func_body, datetime.fromtimestamp(inbound.received_at / 1000, UTC))
        run, seconds = await self._prepare(who, ask.func_id, options)
        exchange, task_id = Exchange(inbound), new_task_id()
        if options.is_async:
            await self._engine.call(who, run, RunOptions(face=_FACE, alias=task_id, max_attempts=1))
            return exchange.success(_promise(task_id) if options.save_result else None)
        expires_at = min(begun + seconds, inbound.expires_at or math.inf)
        try:
            execution = await self._engine.run(who, run, RunOptions(face=_FACE, alias=task_id, expires_at=expires_at))
        except DeadlineExceeded:
            return exchange.failure(timed_out(task_id), ask)
        if execution.state is not ExecutionState.COMPLETED or execution.result is None:
            return exchange.failure(failed(execution, ask.func_id, task_id), ask)
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
            adapter=_FACE,
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
