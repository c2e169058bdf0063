"""Values that code keeps under keys."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["Entry", "EntryQuota"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that code keeps under a key: JSON text, until it expires (ms since the epoch; None: never)."""

    value: bytes
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class EntryQuota:
    """How many values a project may keep, and how many bytes with their keys."""

    entries: int
    bytes: int
