"""When an attempt that failed is made again."""

from __future__ import annotations

import random
from collections.abc import Callable

from polycall.quick import dataclass

__all__ = ["Backoff"]

_FACTOR = 4
_LONGEST_S = 8 * 3600.0  # between two attempts
_JITTER = 0.2  # either way: what failed together does not come back together
_LONGEST_ASKED_S = 86_400.0  # by Retry-After


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """``first_s`` after the first attempt, four times as long after each further one, and at most 8 hours.

    With 5 s and 9 attempts: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 5.7 h, 8 h; some 15 hours in all.
    """

    first_s: float = 5.0
    attempts: int = 9
    chance: Callable[[float, float], float] = random.uniform

    def wait_s(self, attempts: int, asked_s: float | None = None) -> float | None:
        """Return how long to wait after so many attempts; None: there are no more.

        ``asked_s``: what the receiver asked for, which is never less than our own, and no more than a day.
        """
        if attempts >= self.attempts:
            return None
        own = min(_LONGEST_S, self.first_s * float(_FACTOR ** (attempts - 1))) * self.chance(1 - _JITTER, 1 + _JITTER)
        return own if asked_s is None else max(own, min(asked_s, _LONGEST_ASKED_S))
