"""What a run asked of the outside, for its execution's record."""

from __future__ import annotations

import time

from polycall.domain import OutboundRequest
from polycall.quick import dataclass
from polycall.sandbox.egress.policy import Authority

__all__ = ["Entry", "Ledger"]


@dataclass(slots=True)
class Entry:
    """A request while it goes on; see ``OutboundRequest``."""

    time_ms: int
    authority: Authority
    method: str
    status: int | None = None
    sent: int = 0
    received: int = 0
    refused: str = ""


class Ledger:
    """Keeps the first ``most`` requests, and counts the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: list[Entry] = []
        self.omitted = 0

    def open(self, authority: Authority, method: str) -> Entry:
        """Note that a request begins."""
        entry = Entry(time.time_ns() // 1_000_000, authority, method)
        if len(self._entries) < self._most:
            self._entries.append(entry)
        else:
            self.omitted += 1
        return entry

    @property
    def requests(self) -> tuple[OutboundRequest, ...]:
        """What has been noted so far."""
        return tuple(
            OutboundRequest(
                time_ms=entry.time_ms,
                host=entry.authority.host,
                port=entry.authority.port,
                method=entry.method,
                status=entry.status,
                sent_bytes=entry.sent,
                received_bytes=entry.received,
                refused=entry.refused,
            )
            for entry in self._entries
        )
