"""The xpander face: authenticate, find, check, run, show."""

from __future__ import annotations

import re
from collections.abc import Mapping

from polycall.domain import Convention, Function, LimitOverrides, Principal, Reason, Scope, Version
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.engine.requests import FunctionRun, RunOptions
from polycall.errors import NotFound, NotReady, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.xpander.failures import failed
from polycall.faces.xpander.parameters import read_parameters
from polycall.faces.xpander.results import answer

__all__ = ["XpanderFace"]

_FACE = "xpander"
_BODY_LIMIT = 16 * MIB  # contract, section 8
_ID = re.compile(r"[^_/\s]+")  # contract, section 9: clients split tool ids at `_`
_ENTRY = "xpander_run_action"  # the entry function, unless there is only one
# Contract, section 7. It has no limit of the result: as much as may come in.
_LIMITS = LimitOverrides(timeout_ms=15_000, memory_bytes=256 * MIB, result_bytes=16 * MIB)


class XpanderFace:
    """xpander.ai's custom functions over the engine."""

    name = _FACE
    body_limit = _BODY_LIMIT

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.handlers: Mapping[str, Handler] = {"ExecuteCustomFunction": self.execute_custom_function}

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def execute_custom_function(self, inbound: Inbound) -> Reply:
        """POST /v1/custom_functions/{function_id}/execute: the body is the parameters, the answer is the result."""
        key = inbound.headers.get("x-api-key", "").strip() or bearer(inbound.headers)
        who = await self._engine.keys.authenticate(key)
        require(who, Scope.RUN)
        version, function = await self._find(who, inbound.variable("function_id"))
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
        return answer(await self._engine.run(who, run, RunOptions(face=_FACE, expires_at=inbound.expires_at)))

    async def _find(self, who: Principal, function_id: str) -> tuple[Version, Function]:
        """Return the function that an id stands for. Raises NotFound, NotReady."""
        if not _ID.fullmatch(function_id):
            raise _not_found(function_id)
        version = await self._engine.registry.version(who.project_id, function_id)
        if not version.state.runnable:
            state = version.state.value
            raise NotReady(f"{function_id} cannot be run (state {state})", metadata={"state": state})
        fitting = [
            function
            for function in version.functions
            if function.convention is Convention.KEYWORDS and not function.private
        ]
        chosen = [function for function in fitting if function.name == _ENTRY] or fitting
        if len(chosen) != 1:
            raise _not_found(function_id)
        return version, chosen[0]


def _not_found(function_id: str) -> NotFound:
    return NotFound(Reason.FUNCTION_NOT_FOUND, "xpander.CustomFunction", function_id)
