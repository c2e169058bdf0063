"""Who is asking: ``authorization: Bearer KEY``."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import aclosing

from google.protobuf.message import Message

from polycall.engine.keys import KeyRing
from polycall.errors import PolycallError, Unauthenticated
from polycall.interceptors.rpc import Rpc, Stream, Unary

__all__ = ["Anyone", "Authentication"]

log = logging.getLogger(__name__)

# How long who sent the head of a call need not be asked again, if no key was revoked meanwhile: a key may expire.
_HOLDS_S = 1.0
# Where our own API and the contracts carry keys (riza, cognite: authorization; the others have headers of their own).
_CREDENTIALS = frozenset(
    ("authorization", "df-api-key", "x-api-key", "x-domo-authentication", "x-domo-developer-token", "x-dff-auth-token")
)


class Anyone:
    """Reads what anybody says: at a door where keys are asked for, and messages are small. The gateway bounds them."""

    async def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> PolycallError | None:
        """Return None: a call's message is to be read."""
        return None


class Authentication:
    """Lets nobody pass without a valid key. Raises Unauthenticated."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def lets_in(self, rpc: Rpc) -> bool:
        """Tell from the head of a native call whether its message is to be read.

        Says in ``rpc`` who is asking, or why it is not to be read.
        """
        try:
            await self._identify(rpc)
        except PolycallError as error:
            rpc.unread = error.with_traceback(None)
        return rpc.unread is None

    async def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> PolycallError | None:
        """Return why a call's message is not to be read, by its head alone; None if some key in it is valid.

        Whether it is the right key in the right place is decided later, by the face. That a key could not be looked at
        says nothing of it, so that is told before any key that is not valid.
        """
        why: PolycallError = Unauthenticated("No valid API key came with the request.")
        for name, value in metadata:
            if name in _CREDENTIALS:
                text = str(value)
                try:
                    await self._keys.authenticate(_bearer(text) if name == "authorization" else text.strip())
                except Unauthenticated:
                    continue
                except PolycallError as error:
                    why = error.with_traceback(None)
                    continue
                return None
        return why

    def unary(self, inner: Unary) -> Unary:
        """Authenticate, then call."""

        async def anew(request: Message, rpc: Rpc) -> Message:
            await self._identify(rpc)
            return await inner(request, rpc)

        def authenticated(request: Message, rpc: Rpc) -> Awaitable[Message]:
            return inner(request, rpc) if self._holds(rpc) else anew(request, rpc)

        return authenticated

    def stream(self, inner: Stream) -> Stream:
        """Authenticate, then stream, for as long as the key is valid: it may be revoked, or expire, in the middle."""

        async def authenticated(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            if rpc.unread is not None:
                # not asked again: the key may be found now, and what was sent with it was not read
                raise rpc.take_unread()
            if not self._holds(rpc):
                await self._identify(rpc)
            asked = time.monotonic()
            async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    if rpc.revocations != self._keys.revocations or time.monotonic() - asked >= _HOLDS_S:
                        await self._ask_again(rpc)
                        asked = time.monotonic()
                    yield answer

        return authenticated

    async def _ask_again(self, rpc: Rpc) -> None:
        """Look at the key of a stream anew. Raises Unauthenticated; what cannot be looked at now was valid before."""
        try:
            await self._identify(rpc)
        except Unauthenticated:
            raise
        except PolycallError as error:
            log.warning("the key of a stream cannot be looked at, which goes on until it can: %s", error.message)

    async def _identify(self, rpc: Rpc) -> None:
        rpc.revocations = self._keys.revocations
        credential = _bearer(rpc.authorization)
        rpc.known = self._keys.at_hand(credential) or await self._keys.authenticate(credential)

    def _holds(self, rpc: Rpc) -> bool:
        """Tell whether what the head of a call said still holds: its message may come minutes later."""
        return (
            rpc.known is not None
            and rpc.revocations == self._keys.revocations
            and time.monotonic() - rpc.came_at < _HOLDS_S
        )


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
