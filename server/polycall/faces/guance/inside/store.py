"""``DFF.CTX``, values of one call, and ``DFF.STORE``, values that the server keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from polycall.faces.guance.inside.asking import Missing, asked, batches
from polycall.faces.guance.inside.values import plain_text

__all__ = ["Context", "Store"]


class Context(Missing):
    """Values of this call (``DFF.CTX``)."""

    _name = "CTX"

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def __call__(self, key: Any) -> Any:
        return self.get(key)

    def has(self, key: Any) -> bool:
        return key in self._values

    def get(self, key: Any) -> Any:
        return self._values.get(key)

    def get_all(self) -> dict[Any, Any]:
        return dict(self._values)

    def set(self, key: Any, value: Any) -> None:
        self._values[key] = value

    def delete(self, key: Any) -> Any:
        return self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class Store(Missing):
    """JSON values that outlive the call (``DFF.STORE``); ``scope`` is the script unless it is said."""

    _name = "STORE"

    def __call__(self, key: str, scope: str | None = None) -> Any:
        return self.get(key, scope)

    def set(
        self,
        key: str,
        value: Any,
        scope: str | None = None,
        expires: float | None = None,
        not_exists: bool = False,
        expire: float | None = None,
    ) -> None:
        self.mset({key: value}, scope, expires, not_exists, expire)

    def mset(
        self,
        key_values: Mapping[str, Any],
        scope: str | None = None,
        expires: float | None = None,
        not_exists: bool = False,
        expire: float | None = None,
    ) -> None:
        values = {str(key): json.loads(plain_text(value)) for key, value in key_values.items()}
        asked("store.set", values=values, scope=scope, expires=expires or expire, notExists=not_exists)

    def get(self, key: str, scope: str | None = None) -> Any:
        return self.mget([key], scope).get(str(key))

    def mget(self, keys: Iterable[str], scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for some in batches([str(key) for key in keys]):
            found |= asked("store.get", keys=some, scope=scope)
        return found

    def has(self, key: str, scope: str | None = None) -> bool:
        return str(key) in self.mget([key], scope)

    exists = has

    def keys(self, pattern: str = "*", scope: str | None = None) -> list[str]:
        return list(asked("store.list", pattern=pattern, scope=scope, values=False))

    def getall(self, scope: str | None = None) -> dict[str, Any]:
        return self.get_pattern("*", scope)

    get_all = getall

    def get_pattern(self, pattern: str = "*", scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = asked("store.list", pattern=pattern, scope=scope, values=True)
        return found

    def delete(self, key: str | Iterable[str], scope: str | None = None) -> None:
        for some in batches(_several(key)):
            asked("store.delete", keys=some, scope=scope)


def _several(key: Any) -> list[str]:
    return [str(one) for one in key] if isinstance(key, list | tuple | set) else [str(key)]
