"""What the resources of this face have in common: who asks, how an error looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from polycall.domain import Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.errors import NotFound, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.failures import failed
from polycall.faces.riza.requests import BODY_LIMIT
from polycall.faces.wire import dump

__all__ = ["FACE", "Resource", "deleted"]

T = TypeVar("T")

FACE = "riza"


class Resource:
    """One service of the face: a subclass has the handlers."""

    name = FACE
    body_limit = BODY_LIMIT
    handlers: Mapping[str, Handler] = {}

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error, inbound.headers)

    async def _caller(self, inbound: Inbound, scope: Scope) -> Principal:
        """Return who asks. Raises Unauthenticated, PermissionDenied."""
        who = await self._engine.keys.authenticate(bearer(inbound.headers))
        require(who, scope)
        return who

    async def _read(self, inbound: Inbound, read: Callable[[bytes], T]) -> T:
        """Return the body as ``read`` reads it, beside the event loop if it is large."""
        body = await inbound.read()
        return await aside(len(body), read, body)

    def _id(self, inbound: Inbound, variable: str, reason: Reason) -> str:
        """Return an id of the path: any text may be one. Raises NotFound for what nothing is kept under."""
        found = inbound.variable(variable)
        if "\0" in found or found == "-":  # the store has no such text; to the engine a dash means the newest
            raise NotFound(reason, f"riza.{variable}", variable, "There is nothing with this id.")
        return found


def deleted(what: str) -> Reply:
    """Return what is answered once something is gone."""
    return Reply(body=dump({"id": what, "deleted": True}))
