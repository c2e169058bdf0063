"""An object store, as the database needs it: a place for what is too large for its rows.

Keys are ours; what comes back may be anything. Nothing is ever written twice under one key, so there is no moment in
which a key means something else than before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from polycall.quick import dataclass

__all__ = ["Bucket", "BucketAway", "Listed", "ObjectLost"]


class BucketAway(Exception):
    """Raised when the object store does not answer, or refuses; says which and how, without keys and credentials."""


class ObjectLost(Exception):
    """Raised for an object that is not there, or is not what was written."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a list shows it; the time is the object store's, in milliseconds."""

    key: str
    modified_at: int


class Bucket(Protocol):
    """Objects by key. Every call has a bound in time and raises BucketAway beyond it."""

    async def check(self) -> None:
        """Write, read, list and delete an object. Raises BucketAway."""

    async def put(self, key: str, data: bytes) -> None:
        """Write an object; it is safe when this returns. Raises BucketAway."""

    async def get(self, key: str, most: int) -> bytes:
        """Return an object of at most so many bytes. Raises ObjectLost, BucketAway."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there do no harm. Raises BucketAway."""

    def list(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """Yield the objects whose keys begin with a prefix that ends with "/", some at a time. Raises BucketAway."""
