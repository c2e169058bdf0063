"""What the services of the face have in common: who is asking, and how errors are worded."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, TypeVar

from polycall.domain import Principal
from polycall.engine.engine import Engine
from polycall.errors import InvalidArgument, PermissionDenied, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.cognite.failures import failed
from polycall.faces.cognite.requests import BODY_LIMIT
from polycall.faces.reply import Inbound, Reply
from polycall.faces.wire import Malformed
from polycall.store.protocol import Page

__all__ = ["FACE", "Resource", "page"]

T = TypeVar("T")

FACE = "cognite"


class Resource:
    """One service of the face."""

    name = FACE
    body_limit: ClassVar[int] = BODY_LIMIT

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def _caller(self, inbound: Inbound) -> Principal:
        """Return who is asking. Raises Unauthenticated, PermissionDenied (another project)."""
        who = await self._engine.keys.authenticate(bearer(inbound.headers))
        if inbound.variable("project") != who.project_id:
            raise PermissionDenied("The token has no access to this project.")
        return who


async def page(listing: Awaitable[Page[T]]) -> Page[T]:
    """Return a page. Raises Malformed for a cursor of another list, another filter or another project."""
    try:
        return await listing
    except InvalidArgument as error:
        if any(violation.field == "page_token" for violation in error.violations):
            raise Malformed.of("cursor", "is not a cursor of this list with this filter") from None
        raise
