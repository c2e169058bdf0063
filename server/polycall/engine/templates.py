"""Prepared runs of functions as they are called most: with an input, and nothing else asked for.

All of such a run but its input follows from the version. The registry reads a version anew whenever it may have
changed, so as long as it gives the same object, what was made of it still holds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from polycall.domain import NO_OVERRIDES, Function, Version
from polycall.engine.limits import KIB
from polycall.engine.requests import FunctionRun
from polycall.structs import changed

if TYPE_CHECKING:
    from polycall.engine.preparation import Prepared

__all__ = ["Templates"]

_MOST, _MOST_BYTES = 512, 32 * KIB  # of functions, whose sources stay in memory meanwhile: 16 MiB in all


class Templates:
    """What was prepared of late, by version and function; the one that was used longest ago goes first."""

    def __init__(self) -> None:
        # by the version's identity, which nothing else can have while it is kept here
        self._kept: OrderedDict[tuple[int, str], tuple[Version, Prepared]] = OrderedDict()

    def get(self, version: Version, function: Function, run: FunctionRun) -> Prepared | None:
        """Return a prepared run that differs from this one in its input alone; None if there is none."""
        key = id(version), function.name
        kept = self._kept.get(key)
        if kept is None or not _asks_nothing(run):
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def keep(self, version: Version, function: Function, run: FunctionRun, prepared: Prepared) -> None:
        """Keep a prepared run for the next ones, if these would be prepared alike."""
        if not _asks_nothing(run) or not _follows(version) or prepared.job.services is not None:
            return
        if sum(map(len, prepared.job.bundle.files.values())) > _MOST_BYTES:
            return
        # without what this run brought: inputs of MiBs would stay in memory for as long as nobody else is called
        template = changed(prepared, job=changed(prepared.job, payload=b""), run=None)
        self._kept[id(version), function.name] = version, template
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)


def _asks_nothing(run: FunctionRun) -> bool:
    return run.limits is NO_OVERRIDES and not (
        run.fresh or run.convention or run.adapter or run.adapter_options != b"{}"
    )


def _follows(version: Version) -> bool:
    """Whether nothing of a run is found out anew each time: values of secrets, the newest build of a runtime."""
    return not (version.runtime or version.secrets or version.secret_env or version.egress)
