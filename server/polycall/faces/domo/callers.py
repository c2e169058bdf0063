"""Who is asking."""

from __future__ import annotations

from polycall.domain import Principal
from polycall.engine.keys import KeyRing
from polycall.faces.adapter import bearer
from polycall.faces.reply import Inbound

__all__ = ["Callers"]

_TOKEN_HEADERS = ("x-domo-developer-token", "x-domo-authentication")


class Callers:
    """Authenticates requests. ``app_key`` is whom apps that send no credentials run as; "" for nobody."""

    def __init__(self, keys: KeyRing, app_key: str = "") -> None:
        self._keys = keys
        self._app_key = app_key

    async def who(self, inbound: Inbound) -> Principal:
        """Return the caller of a product route. Raises Unauthenticated."""
        return await self._keys.authenticate(_token(inbound))

    async def app(self, inbound: Inbound) -> Principal:
        """Return the caller of an app route. Raises Unauthenticated."""
        return await self._keys.authenticate(_token(inbound) or self._app_key)


def _token(inbound: Inbound) -> str | None:
    tokens = (inbound.headers.get(name, "").strip() for name in _TOKEN_HEADERS)
    return next(filter(None, tokens), None) or bearer(inbound.headers)
