"""Who is asking: ``authorization: Bearer KEY``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from google.protobuf.message import Message

from polycall.engine.keys import KeyRing
from polycall.interceptors.call import Call, Stream, Unary

__all__ = ["Authentication"]


class Authentication:
    """Lets nobody pass without a valid key. Raises Unauthenticated."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def unary(self, inner: Unary) -> Unary:
        """Authenticate, then call."""

        async def authenticated(request: Message, call: Call) -> Message:
            call.who = await self._keys.authenticate(_bearer(call.authorization))
            return await inner(request, call)

        return authenticated

    def stream(self, inner: Stream) -> Stream:
        """Authenticate, then stream."""

        async def authenticated(request: Message, call: Call) -> AsyncIterator[Message]:
            call.who = await self._keys.authenticate(_bearer(call.authorization))
            async with aclosing(inner(request, call)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer

        return authenticated


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
