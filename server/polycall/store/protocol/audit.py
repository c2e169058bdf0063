"""What is needed of the store to keep who did what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polycall.acts import AuditEvent, AuditFilter
from polycall.store.protocol.pages import Page

__all__ = ["AuditStore"]


class AuditStore(Protocol):
    """The audit log. What is in it stays as it is."""

    async def append_audit(self, events: Sequence[AuditEvent]) -> None:
        """Append, at the database's time, all or none."""

    async def list_audit(
        self,
        project_id: str | None,
        where: AuditFilter,
        page_size: int,
        page_token: str = "",
        *,
        ascending: bool = False,
    ) -> Page[AuditEvent]:
        """Return a page, newest first (or oldest first); raise InvalidArgument (token).

        ``project_id`` None: of all projects, and of none.
        """

    async def prune_audit(self, before_ms: int, most: int) -> int:
        """Delete up to ``most`` events older than a time, the oldest first; return how many. That leaves an event.

        Events of the last day are refused by the database (Conflict).
        """
