"""The backlog: how many Calls of one project may wait."""

from __future__ import annotations

import time

from polycall.errors import QueueFull
from polycall.quick import dataclass
from polycall.store.protocol import ExecutionStore

__all__ = ["Backlog"]

# Between two looks at the database its own acceptances are counted on: a project may exceed its bound by what other
# servers accept meanwhile.
_FRESH_S = 1.0
_RETRY_S = 1.0
_NEVER_S = 3600.0  # an operator may change it


@dataclass(slots=True)
class _Count:
    waiting: int
    until: float  # time.monotonic


class Backlog:
    """Refuses Calls of a project of which ``most`` wait: each is a row, and an input of up to 64 MiB, on the disk."""

    def __init__(self, store: ExecutionStore, most: int) -> None:
        self._store = store
        self._most = most
        self._counts: dict[str, _Count] = {}

    async def admit(self, project_id: str) -> None:
        """Count one more Call of a project. Raises QueueFull."""
        count = self._fresh(project_id)
        if count is None:
            waiting = await self._store.waiting(project_id, self._most)
            # of many who look at once the first one's count is taken, so that each counts the others
            count = self._fresh(project_id) or _Count(waiting, time.monotonic() + _FRESH_S)
            self._counts[project_id] = count
        if count.waiting >= self._most:
            if not self._most:
                raise QueueFull(
                    "This server accepts no Calls: its `call_queue` is 0. RunFunction waits for the result.",
                    subject="calls",
                    retry_after_s=_NEVER_S,
                    metadata={"waiting": "0"},
                )
            raise QueueFull(
                f"{self._most} calls of this project wait already; this one was not accepted. Retry when some have "
                "run, cancel some, or raise the server's `call_queue`.",
                subject="calls",
                retry_after_s=_RETRY_S,
                metadata={"waiting": str(self._most)},
            )
        count.waiting += 1

    def _fresh(self, project_id: str) -> _Count | None:
        count = self._counts.get(project_id)
        return count if count is not None and count.until >= time.monotonic() else None
