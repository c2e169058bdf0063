"""What is needed of the store for values that code keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from polycall.domain import Entry, EntryQuota

__all__ = ["EntryStore"]


class EntryStore(Protocol):
    """Values that code keeps, by project, space and key. ``now``: what has expired by then is not there any more."""

    async def get_entry(self, project_id: str, place: tuple[str, str], now: int) -> Entry | None:
        """Return what is kept at a place: space and key."""

    async def entry_keys(
        self, project_id: str, space: str, after: str, now: int, rows: int
    ) -> Sequence[tuple[str, int]]:
        """Return keys of a space in their order, after a key, at most so many, each with the size of its entry."""

    async def get_entries(
        self, project_id: str, space: str, keys: Sequence[str], now: int
    ) -> Sequence[tuple[str, Entry]]:
        """Return what is kept under some keys of a space; of sorted keys, in their order."""

    async def change_entries(
        self,
        project_id: str,
        places: Sequence[tuple[str, str]],
        change: Callable[[Sequence[Entry | None]], Sequence[Entry | None]],
        now: int,
        quota: EntryQuota,
    ) -> None:
        """Replace what is kept at some places by what ``change`` returns for it, None: nothing; all at once.

        ``change`` may run twice. Changes of a project follow each other. Raises QuotaExceeded, for growth alone, and
        what ``change`` raises: nothing is changed then.
        """

    async def purge_entries(self, project_id: str, now: int) -> int:
        """Delete what has expired; return how many."""
