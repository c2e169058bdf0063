"""Pages of lists."""

from __future__ import annotations

from typing import Generic, TypeVar

from polycall.quick import dataclass

__all__ = ["Page", "T"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list and the token of the next ("" at the end)."""

    items: tuple[T, ...]
    next_token: str = ""
