"""From a function and its data to a run of it: for a call, and for a tick of a schedule."""

from __future__ import annotations

from polycall.domain import Convention, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.requests import FunctionRun
from polycall.errors import NotFound, NotReady
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.functiondata import FunctionData
from polycall.faces.cognite.functions import LIMITS, handle_of, status_of
from polycall.faces.cognite.requests import Reference

__all__ = ["CALL_COUNTER", "function_run", "not_ready"]

CALL_COUNTER = "cognite"  # the ids of calls, whoever makes them


async def function_run(engine: Engine, project_id: str, function_id: int, data: bytes) -> FunctionRun:
    """Return the run of a function with its data, a JSON object. Raises Missing, NotReady."""
    try:
        version = await engine.registry.version(project_id, str(function_id))
    except NotFound as error:
        if error.reason is not Reason.VERSION_NOT_FOUND:
            raise Missing("Function", [Reference(function_id)]) from None
        raise not_ready(function_id, await _status(engine, project_id, function_id)) from None
    handle = handle_of(version) if version.state.runnable else None
    if handle is None:
        raise not_ready(function_id, status_of(version))
    return FunctionRun(
        package_id=version.package_id,
        version_id=version.id,
        function=handle.name,
        convention=Convention.HANDLE,
        input=data,
        limits=engine.limits.where_unset(version.limits, LIMITS),
        fresh=True,
    )


async def _status(engine: Engine, project_id: str, function_id: int) -> str:
    """Return the status of a function without a version: it is on the way to one, or has failed to get there."""
    reader = Principal(project_id=project_id, key_id="", scopes=frozenset({Scope.READ}))
    data = FunctionData.of(await engine.registry.get_package(reader, str(function_id)))
    return data.status if data is not None else status_of(None)


def not_ready(function_id: int, status: str) -> NotReady:
    """Return what is raised for a function that cannot be called."""
    return NotReady(f"Function {function_id} is not ready (status: {status})", metadata={"state": status})
