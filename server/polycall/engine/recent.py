"""Values used lately, as many as fit into so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps values by key; the one that was used longest ago goes first. The newest stays, whatever its size."""

    def __init__(self, most_bytes: int, size_of: Callable[[V], int]) -> None:
        self._most = most_bytes
        self._size_of = size_of
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return a value, None if it is not there."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value, in place of an earlier one."""
        self.drop(key)
        size = self._size_of(value)
        self._values[key] = (value, size)
        self._size += size
        while self._size > self._most and len(self._values) > 1:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        """Forget a value."""
        found = self._values.pop(key, None)
        if found is not None:
            self._size -= found[1]

    def drop_where(self, meant: Callable[[K], bool]) -> None:
        """Forget the values of all keys that are meant."""
        for key in [key for key in self._values if meant(key)]:
            self.drop(key)
