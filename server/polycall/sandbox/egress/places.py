"""How many connections all runs of a server have open together, and how many those of one project may."""

from __future__ import annotations

from collections import Counter

__all__ = ["Places"]


class Places:
    """Places for connections: ``most`` of a server, half of them for one project; 0: any number.

    A connection holds 350 KB at most: one with TLS on both sides, heads of 64 KiB and an answer that nobody reads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_project = max(1, most // 2)  # whoever takes all that it gets leaves as much for others
        self._taken: Counter[str] = Counter()
        self._all = 0

    def take(self, project_id: str) -> bool:
        """Take a place; False: there is none."""
        if self._most and (self._all >= self._most or self._taken[project_id] >= self._of_project):
            return False
        self._all += 1
        self._taken[project_id] += 1
        return True

    def give_back(self, project_id: str) -> None:
        """Give a place back."""
        self._all -= 1
        self._taken[project_id] -= 1
        if not self._taken[project_id]:
            del self._taken[project_id]
