"""What is needed of the store to forget."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Protocol

from polycall.store.retention import BlobPlace
from polycall.store.superseded import SupersededPlace

__all__ = ["RetentionStore"]


class RetentionStore(Protocol):
    """What is kept no longer."""

    async def clock(self) -> int:
        """Return the database's time in milliseconds: one server's own may be wrong, and what is deleted is gone."""

    async def oldest_kept(self, project_id: str, most: int) -> uuid.UUID | None:
        """Return the id of the oldest of a project's newest ``most`` executions; None if there are no more."""

    async def prune_executions(
        self, project_id: str, before: uuid.UUID | int, most: int, *, untold: bool = False
    ) -> int:
        """Delete up to ``most`` ended executions older than an id, or a time in ms, with output; return how many.

        Those whose end is still to be told stay, unless ``untold``: then they go, and with them their notifications.
        """

    async def superseded(
        self, project_id: str, face: str, keep: int, after: SupersededPlace | None, most: int
    ) -> Sequence[SupersededPlace]:
        """Return versions of a face's packages, from a place on, but for the newest ``keep`` of each package.

        Neither released ones nor those that are being analysed.
        """

    async def delete_superseded(self, project_id: str, places: Sequence[SupersededPlace]) -> int:
        """Delete those versions that no execution is of and no schedule names; return how many."""

    async def prune_sessions(self, project_id: str, before_ms: int, most: int, keep: Collection[int] = ()) -> int:
        """Delete up to ``most`` sessions that ended before a time, but for some; return how many."""

    async def sweep_blobs(self, after: BlobPlace | None, most: int) -> tuple[BlobPlace | None, int]:
        """Look at ``most`` blobs of all projects from a place on; delete what nothing refers to and is a day old.

        Returns the place to go on from, None at the end, and how many were deleted.
        """

    async def sweep_objects(self) -> int:
        """Delete from the object store, if there is one, what is a day old and no row names; return how many."""
