"""How many changes the keys of a project may make: what bounds the audit log, where each leaves an event for a year.

A bucket for each project: full, it has the changes of an hour, and it fills again in one. What one server has given out
the others do not know; so the bound is that of each server.
"""

from __future__ import annotations

import time

from polycall.acts import Act
from polycall.domain import Reason
from polycall.errors import ResourceExhausted

__all__ = ["Allowance", "TooManyChanges"]

_HOUR_S = 3600.0
_MOST_PROJECTS = 10_000  # whose buckets are kept; those that are full again need not be
# Who takes a key away from somebody who makes changes all the time is not held up by these.
_APART = frozenset({"key.revoke"})


class TooManyChanges(ResourceExhausted):
    """Raised before anything is done when the keys of a project have made as many changes as they may."""

    reason = Reason.QUOTA_EXCEEDED


class Allowance:
    """``per_hour``: changes of a project, and as many revocations of keys; 0: any number."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}  # what was left, and when (time.monotonic)
        self.refused = 0

    def take(self, act: Act) -> None:
        """Let somebody, who is known by now, begin with a change. Raises TooManyChanges.

        What comes to nothing is given back: else a key that may change nothing could keep all others from it.
        """
        if not self._per_hour or not act.action or act.who is None:
            return
        bucket, now = (act.who.project_id, act.action in _APART), time.monotonic()
        left = self._now(bucket, now)
        if left < 1:
            self.refused += 1
            wait_s = (1 - left) * _HOUR_S / self._per_hour
            raise TooManyChanges(
                f"The keys of this project may make {self._per_hour} changes in an hour, and have: each is an event of "
                "the audit log. Nothing was done; try later, or have the server's POLYCALL_CHANGES_PER_HOUR raised.",
                subject="changes_per_hour",
                retry_after_s=wait_s,
                metadata={"limit": str(self._per_hour)},
            )
        if len(self._left) >= _MOST_PROJECTS and bucket not in self._left:
            self._left = {other: kept for other, kept in self._left.items() if now - kept[1] < _HOUR_S}
        self._left[bucket] = (left - 1, now)
        act.taken = True

    def give_back(self, act: Act) -> None:
        """Count a change no more that was refused: nothing was done, and no event of its own tells of it."""
        if not act.taken or act.who is None:
            return
        act.taken = False
        bucket = act.who.project_id, act.action in _APART
        if bucket in self._left:
            left, at = self._left[bucket]
            self._left[bucket] = min(float(self._per_hour), left + 1), at

    def _now(self, bucket: tuple[str, bool], now: float) -> float:
        left, at = self._left.get(bucket, (float(self._per_hour), now))
        return min(float(self._per_hour), left + (now - at) * self._per_hour / _HOUR_S)
