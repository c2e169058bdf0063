"""Where the face lets somebody in without a key: apps in a browser, if the operator says whom they run as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from polycall.engine.keys import KeyRing
from polycall.errors import PolycallError
from polycall.faces.domo.v1 import apps_pb2
from polycall.interceptors.authentication import Authentication
from polycall.interceptors.stack import Gate

__all__ = ["domo_doors"]

_SERVICE = apps_pb2.DESCRIPTOR.services_by_name["DomoAppService"]
_CREDENTIALS = ("x-domo-developer-token", "x-domo-authentication", "authorization")


class _Apps:
    """Lets in who sends no credentials, as long as the apps' own are valid; of others these decide."""

    def __init__(self, keys: KeyRing, app_key: str) -> None:
        self._keys = keys
        self._app_key = app_key
        self._others = Authentication(keys)

    async def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> PolycallError | None:
        """Return why a call's message is not to be read; None: it is."""
        sent = list(metadata)
        if any(name in _CREDENTIALS and value.strip() for name, value in sent):
            return await self._others.refusal(sent)
        try:
            await self._keys.authenticate(self._app_key)
        except PolycallError as error:
            return error
        return None


def domo_doors(keys: KeyRing, app_key: str) -> Mapping[str, Gate]:
    """Return who is let in, by the path of the method."""
    if not app_key:
        return {}
    gate = _Apps(keys, app_key)
    return {f"/{_SERVICE.full_name}/{method.name}": gate for method in _SERVICE.methods}
