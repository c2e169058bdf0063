"""The Domo face: run a released function, show what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import msgspec

from polycall.domain import Execution, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading
from polycall.engine.limits import MIB
from polycall.errors import NotFound, PolycallError
from polycall.faces.aside import aside
from polycall.faces.domo.callers import Callers
from polycall.faces.domo.errors import CONTENT_TYPE, failed
from polycall.faces.domo.kept import FACE
from polycall.faces.domo.packages import Packages
from polycall.faces.domo.permissions import EXECUTE, Permissions
from polycall.faces.domo.record import Kept, render
from polycall.faces.domo.request import read_ask
from polycall.faces.domo.runs import Runs
from polycall.faces.reply import Handler, Inbound, Reply

__all__ = ["DomoFace", "shown"]

_KEPT_MS = 30 * 24 * 3600 * 1000  # how long the vendor's contract shows an execution


class DomoFace:
    """Domo's Code Engine over the engine."""

    name = FACE
    body_limit = 64 * MIB

    def __init__(
        self, engine: Engine, callers: Callers, packages: Packages, permissions: Permissions, runs: Runs
    ) -> None:
        self._engine = engine
        self._callers = callers
        self._packages = packages
        self._permissions = permissions
        self._runs = runs
        self.handlers: Mapping[str, Handler] = {"RunFunction": self.run_function, "GetExecution": self.get_execution}

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def run_function(self, inbound: Inbound) -> Reply:
        """Run a function of a released version. What is checked first is what the vendor's contract says."""
        who = await self._callers.who(inbound)
        asked = (inbound.variable(name) for name in ("package_id", "version", "function_name"))
        target = await self._runs.target(who, *asked)
        return await shown(*await self._runs.run(who, target, read_ask, inbound))

    async def get_execution(self, inbound: Inbound) -> Reply:
        """Show an execution, under its own package only."""
        who = await self._callers.who(inbound)
        package_id, text = inbound.variable("package_id"), inbound.variable("execution_id")
        package = await self._packages.find(who, package_id)
        await self._permissions.require(who, Scope.RUN, package, EXECUTE)
        try:
            execution = await self._engine.executions.get(reading(who), uuid.UUID(text))
        except (ValueError, NotFound):
            raise _no_execution(package_id, text) from None
        if execution.package_id != package.id or execution.face != FACE or execution.face_data is None:
            raise _no_execution(package_id, text)
        if execution.queued_at <= inbound.received_at - _KEPT_MS:
            raise _no_execution(package_id, text)
        return await shown(execution, msgspec.json.decode(execution.face_data, type=Kept))


async def shown(execution: Execution, kept: Kept) -> Reply:
    """Return an execution as the vendor shows it."""
    size = len(execution.result or b"") + len(execution.stdout) + len(execution.stderr)
    return Reply(body=await aside(size, render, execution, kept), content_type=CONTENT_TYPE)


def _no_execution(package_id: str, execution_id: str) -> NotFound:
    message = f"Package {package_id} has no execution {execution_id}."
    return NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", execution_id, message)
