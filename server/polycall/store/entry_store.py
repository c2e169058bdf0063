"""Values that code keeps."""

from __future__ import annotations

from collections.abc import Sequence

from polycall.domain import Entry, EntryQuota
from polycall.store import entries
from polycall.store.executor import Executor
from polycall.store.quota import StorageQuota

__all__ = ["SqlEntries"]


class SqlEntries:
    """See ``polycall.store.protocol.EntryStore``."""

    def __init__(self, executor: Executor, quota: StorageQuota) -> None:
        self._executor = executor
        self._quota = quota

    async def get_entry(self, project_id: str, place: entries.Place, now: int) -> Entry | None:
        """Return what is kept at a place; None if there is nothing. Raises Unavailable."""
        return await self._executor.read(entries.get_entry, project_id, place, now)

    async def entry_keys(
        self, project_id: str, space: str, after: str, now: int, rows: int
    ) -> Sequence[tuple[str, int]]:
        """Return keys of a space and the sizes of what is kept there, after a key. Raises Unavailable."""
        return await self._executor.read(entries.entry_keys, project_id, space, after, now, rows)

    async def get_entries(
        self, project_id: str, space: str, keys: Sequence[str], now: int
    ) -> Sequence[tuple[str, Entry]]:
        """Return what is kept under some keys of a space. Raises Unavailable."""
        return await self._executor.read(entries.get_entries, project_id, space, tuple(keys), now)

    async def change_entries(
        self, project_id: str, places: Sequence[entries.Place], change: entries.Change, now: int, quota: EntryQuota
    ) -> None:
        """Replace what is kept at some places, all at once. Raises QuotaExceeded, Unavailable, what ``change`` does."""
        await self._executor.write(entries.change_entries, project_id, tuple(places), change, now, quota, self._quota)

    async def purge_entries(self, project_id: str, now: int) -> int:
        """Delete what has expired of a project; return how many. Raises Unavailable."""
        return await self._executor.write(entries.purge_entries, project_id, now)
