"""How long things took, counted by size: what a histogram is made of. Standard library only."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Durations"]

# From a warm run to the longest that the defaults allow, some three to a decade.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)


class Durations:
    """Counts durations, seconds, below each of some bounds; used by one thread."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float] = _BOUNDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    @property
    def cumulative(self) -> list[tuple[float, int]]:
        """Return how many were at most so long; the last bound is infinity."""
        below, found = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            found.append((bound, below))
        return found
