"""Retention: what has ended is kept for a time, and up to a number, and then deleted, in slices.

A slice is a transaction, and between two there is a pause: whoever accepts a Call waits for one slice at most.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Collection

from polycall.errors import PolycallError
from polycall.quick import dataclass
from polycall.store.protocol import Store
from polycall.store.retention import BlobPlace

__all__ = ["Pruned", "Retention", "Superseded"]

_EVERY_S = 3600.0
_SLICE = 500  # rows of a transaction: some 6 ms on SQLite
_BLOBS = 200  # looked at in a transaction; each is looked for in six indexes
_OBJECT_ROUNDS = 24  # a list of all objects costs requests, and what nothing names is an upload that was broken off
_PIECES = 50  # of a MiB each, deleted in a transaction
_EVENTS = 5000  # of the audit log in a transaction: each leaves an event of its own there
_PAUSE_S = 0.05
_DAY_MS = 86_400_000
_TELLING_MS = 2 * _DAY_MS  # notifications are tried for 15 hours, and longer where a receiver says so

Held = Callable[[str], Awaitable[Collection[int]]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pruned:
    """How much one round deleted."""

    executions: int = 0
    untold: int = 0  # executions whose end was still to be told
    sessions: int = 0
    blobs: int = 0
    pieces: int = 0  # of environments
    objects: int = 0  # that nothing named, in the object store
    versions: int = 0
    audit_events: int = 0


@dataclass(frozen=True, slots=True)
class Superseded:
    """A face whose contract shows the version made last alone, and how many of a package are kept all the same."""

    face: str
    most: int


class Retention:
    """Deletes what is older than ``days``, and of each project all but the newest ``executions``; 0: neither.

    What is still to be told to a completion URL is kept for two days more, and up to as many again: a receiver that
    never answers, whose notifications may wait far longer than they are tried, keeps nothing for ever.
    ``held`` tells which sessions of a project somebody needs, however long ago they ended: a paused schedule has one.
    ``audit_days``: of the audit log, as whole days of UTC, so that it deletes, and says so in the log, once a day.
    """

    def __init__(
        self,
        store: Store,
        *,
        days: float,
        executions: int,
        audit_days: float = 0,
        held: Held | None = None,
        versions: Superseded | None = None,
    ) -> None:
        self._store = store
        self._held = held
        self._versions = versions
        self._days = days
        self._executions = executions
        self._rounds = 0
        self._audit_days = audit_days

    async def run(self) -> None:
        """Do a round every hour, for ever. A round that the database cannot do is done the next time."""
        while True:
            try:
                pruned = await self.round()
            except PolycallError as error:
                log.warning("what is kept too long is deleted in an hour: %s", error)
            else:
                if pruned != Pruned():
                    log.info(
                        "deleted: %d executions, %d more whose end nobody could be told, %d sessions, %d blobs, "
                        "%d pieces of environments, %d objects, %d versions, %d audit events",
                        *(
                            pruned.executions,
                            pruned.untold,
                            pruned.sessions,
                            pruned.blobs,
                            pruned.pieces,
                            pruned.objects,
                        ),
                        *(pruned.versions, pruned.audit_events),
                    )
            await asyncio.sleep(_EVERY_S)

    async def _versions_of(self, project_id: str) -> int:
        """Delete versions of a project that others have taken the place of; return how many."""
        deleted, place = 0, None
        while self._versions:
            found = await self._store.superseded(project_id, self._versions.face, self._versions.most, place, _SLICE)
            if not found:
                break
            deleted += await self._store.delete_superseded(project_id, found)
            place = found[-1]
            await asyncio.sleep(_PAUSE_S)
        return deleted

    async def round(self) -> Pruned:
        """Delete what is to be deleted now. Raises Unavailable."""
        pruned = Pruned()
        now_ms = await self._store.clock()
        if self._audit_days:
            oldest_ms = (now_ms - int(self._audit_days * _DAY_MS)) // _DAY_MS * _DAY_MS
            while count := await self._store.prune_audit(oldest_ms, _EVENTS):
                pruned.audit_events += count
                await asyncio.sleep(_PAUSE_S)
        for project in await self._store.list_projects():
            pruned.versions += await self._versions_of(project.id)
            bounds: list[tuple[uuid.UUID | int, bool]] = []
            if self._days:
                before = now_ms - int(self._days * _DAY_MS)
                bounds += [(before, False), (before - _TELLING_MS, True)]
                keep = await self._held(project.id) if self._held is not None else ()
                while count := await self._store.prune_sessions(project.id, before, _SLICE, keep):
                    pruned.sessions += count
                    await asyncio.sleep(_PAUSE_S)
            for most, untold in ((self._executions, False), (2 * self._executions, True)):
                if most and (oldest := await self._store.oldest_kept(project.id, most)) is not None:
                    bounds.append((oldest, untold))
            # first what may go anyway: what is counted as untold is nothing else
            for bound, untold in sorted(bounds, key=lambda each: each[1]):
                while count := await self._store.prune_executions(project.id, bound, _SLICE, untold=untold):
                    pruned.executions += 0 if untold else count
                    pruned.untold += count if untold else 0
                    await asyncio.sleep(_PAUSE_S)
        while count := await self._store.sweep_environments(_PIECES):
            pruned.pieces += count
            await asyncio.sleep(_PAUSE_S)
        await self._store.sweep_lanes()
        place: BlobPlace | None = None
        while True:
            place, count = await self._store.sweep_blobs(place, _BLOBS)
            pruned.blobs += count
            if place is None:
                break
            await asyncio.sleep(_PAUSE_S)
        # last: an object store that is away, or cannot be listed, keeps nothing in the database
        if self._rounds % _OBJECT_ROUNDS == 0:
            pruned.objects = await self._store.sweep_objects()
        self._rounds += 1
        return pruned
