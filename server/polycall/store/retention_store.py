"""What is kept no longer."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from polycall.store import retention
from polycall.store.executor import Executor
from polycall.store.outside import Outside
from polycall.store.retention import BlobPlace
from polycall.store.schedules import clock
from polycall.store.superseded import SupersededPlace, delete_superseded, superseded

__all__ = ["SqlRetention"]


class SqlRetention:
    """See ``polycall.store.protocol.RetentionStore``."""

    def __init__(self, executor: Executor, outside: Outside) -> None:
        self._executor = executor
        self._outside = outside

    async def clock(self) -> int:
        """Return the database's time in milliseconds. Raises Unavailable."""
        return await self._executor.read(clock)

    async def oldest_kept(self, project_id: str, most: int) -> uuid.UUID | None:
        """Return the id of the oldest of a project's newest ``most`` executions; None if there are no more."""
        return await self._executor.read(retention.oldest_kept, project_id, most)

    async def prune_executions(
        self, project_id: str, before: uuid.UUID | int, most: int, *, untold: bool = False
    ) -> int:
        """Delete up to ``most`` ended executions older than an id or a time; return how many. Raises Unavailable."""
        return await self._executor.relaxed(retention.prune_executions, project_id, before, most, untold)

    async def prune_sessions(self, project_id: str, before_ms: int, most: int, keep: Collection[int] = ()) -> int:
        """Delete up to ``most`` sessions that ended before a time, but for some. Raises Unavailable."""
        return await self._executor.relaxed(retention.prune_sessions, project_id, before_ms, most, tuple(keep))

    async def superseded(
        self, project_id: str, face: str, keep: int, after: SupersededPlace | None, most: int
    ) -> Sequence[SupersededPlace]:
        """Return versions of a face's packages but for the newest of each; see the protocol. Raises Unavailable."""
        return await self._executor.read(superseded, project_id, face, keep, after, most)

    async def delete_superseded(self, project_id: str, places: Sequence[SupersededPlace]) -> int:
        """Delete those that nothing refers to; return how many. Raises Unavailable."""
        return await self._executor.relaxed(delete_superseded, project_id, tuple(places))

    async def sweep_blobs(self, after: BlobPlace | None, most: int) -> tuple[BlobPlace | None, int]:
        """Delete those of ``most`` blobs that nothing refers to; return where to go on, and how many they were."""
        place, deleted = await self._executor.relaxed(retention.sweep_blobs, after, most)
        await self._outside.discard([key for key in deleted if key is not None])  # now that no row names them
        return place, len(deleted)

    async def sweep_objects(self) -> int:
        """Delete from the object store what no row names; return how many. Raises Unavailable."""
        return await self._outside.sweep()
