"""The isolation floor: the level below which this server runs no code."""

from __future__ import annotations

from polycall.domain import IsolationLevel
from polycall.errors import IsolationUnavailable
from polycall.sandbox.job import Job, Runner

__all__ = ["Floor"]


class Floor:
    """Refuses what this machine cannot isolate. ``missing``: what keeps it from a higher level, in words."""

    def __init__(self, runner: Runner, level: IsolationLevel, missing: str = "") -> None:
        self._runner = runner
        self._level = level
        self._missing = missing

    def check(self, job: Job) -> None:
        """Raise IsolationUnavailable if a job must not be run here."""
        offered = self._runner.isolation
        if offered < self._level:
            raise IsolationUnavailable(
                f"This machine offers isolation level {int(offered)}, the floor is {int(self._level)}: "
                f"{self._missing or 'see `polycall doctor`'}. "
                "The operator can lower it with POLYCALL_ISOLATION_FLOOR.",
                subject="isolation",
                metadata={
                    "level": str(int(offered)),
                    "floor": str(int(self._level)),
                    "missing": self._missing,
                },
            )
        if job.egress is not None and offered < IsolationLevel.NAMESPACED:
            raise IsolationUnavailable(
                f"Code can reach hosts at isolation level {int(IsolationLevel.NAMESPACED)} and above only; this "
                f"machine offers {int(offered)}: {self._missing or 'see `polycall doctor`'}.",
                subject="egress",
                metadata={"level": str(int(offered)), "missing": self._missing},
            )
