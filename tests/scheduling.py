"""Which tests are run by one worker of several: those of a module, and those of modules that say so."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling

__all__ = ["ModuleScheduling"]


class ModuleScheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Give out whole modules, in the order of their paths.

    xdist deals tests that are in no group one by one, each to the worker that is free: every worker then starts every
    module's servers, gateways and sandboxes for itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test, or else its module. It is what xdist has subclasses override."""
        scope: str = super()._split_scope(nodeid)
        return scope.partition("::")[0]
