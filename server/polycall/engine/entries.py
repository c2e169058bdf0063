"""Values that code keeps between runs: by project, space and key, with limits, and for a time if it says so.

A space is named by whoever offers it to code; a face has its own. Values are JSON text, never looked into.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import re
from collections.abc import Callable, Sequence

from polycall.domain import Entry, EntryQuota
from polycall.errors import InvalidArgument, PayloadTooLarge, PolycallError
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.store.protocol import EntryStore, TenancyStore

__all__ = ["Entries", "EntryLimits", "matching"]

_SWEEP_S = 60.0
_SLICE = 1000  # keys read at once
_LIST_BYTES = 1 << 20  # of keys and values in one answer
_QUOTA = EntryQuota(10_000, 64 << 20)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLimits:
    """What one project may keep. Keys, and names of spaces, are counted in characters."""

    quota: EntryQuota = _QUOTA
    value_bytes: int = 256 << 10
    key_chars: int = 512


class Entries:
    """The values of all projects."""

    def __init__(self, store: EntryStore, limits: EntryLimits = EntryLimits()) -> None:
        self._store = store
        self.limits = limits

    async def get(self, project_id: str, space: str, key: str) -> Entry | None:
        """Return what is kept; None if there is nothing. Raises InvalidArgument (key)."""
        self._check(space, key)
        return await self._store.get_entry(project_id, (space, key), now_ms())

    async def change(
        self,
        project_id: str,
        places: Sequence[tuple[str, str]],
        change: Callable[[Sequence[Entry | None]], Sequence[Entry | None]],
    ) -> None:
        """Replace what is kept at some places, spaces and keys, by what ``change`` makes of it, all at once.

        ``change`` runs within a transaction, perhaps twice: it is quick, and has no effect beside. Raises
        InvalidArgument (key, value too large), QuotaExceeded, and what ``change`` raises.
        """
        for space, key in places:
            self._check(space, key)

        def checked(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            after = change(before)
            for old, new in zip(before, after, strict=True):
                if new is not None and new != old and len(new.value) > self.limits.value_bytes:
                    most = self.limits.value_bytes
                    raise InvalidArgument.of("value", f"has {len(new.value)} bytes as JSON; at most {most} are kept")
            return after

        await self._store.change_entries(project_id, places, checked, now_ms(), self.limits.quota)

    async def put(self, project_id: str, space: str, key: str, entry: Entry | None) -> None:
        """Keep a value, in place of any other; None: nothing. Raises as ``change``."""
        await self.change(project_id, [(space, key)], lambda _: [entry])

    async def keys(self, project_id: str, space: str, pattern: str = "*") -> Sequence[str]:
        """Return keys that match a pattern (``*``, ``?``, ``[...]``), in their order.

        Raises InvalidArgument (space, pattern), PayloadTooLarge.
        """
        return [key for key, _ in await self._matching(project_id, space, pattern, values=False)]

    async def items(self, project_id: str, space: str, pattern: str = "*") -> Sequence[tuple[str, Entry]]:
        """Return keys that match a pattern and what is kept there. Raises as ``keys``."""
        matching = await self._matching(project_id, space, pattern, values=True)
        return await self._store.get_entries(project_id, space, [key for key, _ in matching], now_ms())

    async def _matching(self, project_id: str, space: str, pattern: str, *, values: bool) -> list[tuple[str, int]]:
        self._check(space, pattern or "*")
        found: list[tuple[str, int]] = []
        after, now, size = "", now_ms(), 0
        while page := await self._store.entry_keys(project_id, space, after, now, _SLICE):
            after, last = page[-1][0], len(page) < _SLICE
            # a hostile pattern takes a millisecond a key
            some = set(await asyncio.to_thread(matching, [key for key, _ in page], pattern))
            page = [(key, each) for key, each in page if key in some]
            size += sum(each if values else len(key.encode()) for key, each in page)
            if size > _LIST_BYTES:
                raise PayloadTooLarge(f"what {space} keeps is more than the {_LIST_BYTES} bytes of one answer")
            found += page
            if last:
                break
        return found

    async def sweep(self, projects: TenancyStore) -> None:
        """Delete what has expired, every minute, for ever. What the database cannot do is done the next time."""
        while True:
            try:
                for project in await projects.list_projects():
                    await self._store.purge_entries(project.id, now_ms())
            except PolycallError as error:
                log.warning("values that have expired are deleted in a minute: %s", error)
            await asyncio.sleep(_SWEEP_S)

    def _check(self, space: str, key: str) -> None:
        for name, text in (("space", space), ("key", key)):
            if not 0 < len(text) <= self.limits.key_chars:
                raise InvalidArgument.of(name, f"must have 1 to {self.limits.key_chars} characters")
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidArgument.of(name, "must be valid Unicode without U+0000")


def matching(keys: Sequence[str], pattern: str) -> list[str]:
    """Return keys that match a pattern, which is no longer than a key may be: its time is by the product of both."""
    if pattern == "*":
        return list(keys)
    # not fnmatch's own: it remembers thirty thousand patterns, of strangers
    fits = re.compile(fnmatch.translate(pattern)).match
    return [key for key in keys if fits(key) is not None]
