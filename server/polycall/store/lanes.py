"""Which projects have limits, as far as this process knows: claims of the others need not look for any."""

from __future__ import annotations

import time

from polycall.store.claims import limited_projects
from polycall.store.executor import Executor

__all__ = ["LimitedProjects"]

# Another server may have set a limit since. What is claimed as if there was none leaves out what has one, so none is
# exceeded: for so long what a new limit lets through may wait.
_KNOWN_S = 1.0


class LimitedProjects:
    """Looks at the database at most once in a while."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._projects = frozenset[str]()
        self._until = 0.0  # time.monotonic

    async def __call__(self) -> frozenset[str]:
        """Return them; raise Unavailable."""
        if time.monotonic() >= self._until:
            until = time.monotonic() + _KNOWN_S
            self._projects = await self._executor.read(limited_projects)
            self._until = until
        return self._projects

    def forget(self) -> None:
        """Look again at the next claim: something was set here."""
        self._until = 0.0
