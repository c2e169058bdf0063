"""What is needed of the store for schedules and their ticks."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from polycall.domain import Execution, Schedule
from polycall.quick import dataclass
from polycall.store.protocol.pages import Page

__all__ = ["DueSchedules", "Fired", "Firing", "ScheduleFilter", "ScheduleStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFilter:
    """Which schedules to list; every part that is not None must match."""

    package_id: str | None = None
    version_id: str | None = None
    function: str | None = None
    face: str | None = None
    display_name: str | None = None
    cron: str | None = None
    created_after: int | None = None  # inclusive, ms
    created_before: int | None = None  # exclusive, ms


@dataclass(frozen=True, slots=True)
class DueSchedules:
    """Schedules (without inputs) whose tick has come at ``now``, and when that of the next of the others does."""

    now: int  # ms, the database's clock
    items: Sequence[Schedule]
    next_run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What becomes of a tick: an execution, or it is left out (``why``). Ticks before it may have been missed."""

    at: int  # the tick
    next_run: int | None  # the one after it; None: there is none
    execution: Execution | None = None
    missed: int = 0
    last_missed: int | None = None
    why: str = ""


class Fired(enum.Enum):
    """What came of firing a tick."""

    RAN = "ran"  # the execution is in the queue
    LEFT_OUT = "left out"  # counted, with why
    LOST = "lost"  # nothing was done: another was quicker, or the schedule was changed since it was seen, or is gone


class ScheduleStore(Protocol):
    """Schedules, and their ticks."""

    async def clock(self) -> int:
        """Return the database's time, ms: what ticks are compared with, whichever server looks."""

    async def create_schedule(self, schedule: Schedule, *, most: int, most_of_package: int | None = None) -> Schedule:
        """Insert, unless the project has ``most`` already, or the package ``most_of_package``.

        Raise AlreadyExists, NotFound (package, version), QuotaExceeded.
        """

    async def get_schedule(self, project_id: str, schedule_id: str) -> Schedule:
        """Return; raise NotFound."""

    async def list_schedules(
        self, project_id: str, where: ScheduleFilter, page_size: int, page_token: str = ""
    ) -> Page[Schedule]:
        """Return a page without inputs, newest first; raise InvalidArgument for a token that is not ours."""

    async def change_schedule(self, schedule: Schedule, *, retime: bool) -> bool:
        """Write what callers change of one that is still at its ``revision``, which rises; ``next_run`` if ``retime``.

        False: it is at another, or gone. Raise NotFound (package or version).
        """

    async def delete_schedule(self, project_id: str, schedule_id: str) -> None:
        """Delete; its executions stay. Raise NotFound."""

    async def due_schedules(self, most: int) -> DueSchedules:
        """Return those whose tick has come, at most so many: the projects in turn, the longest overdue of each first.

        Crosses projects.
        """

    async def fire(self, seen: Schedule, firing: Firing) -> Fired:
        """Move a schedule on from ``seen.next_run`` and insert its execution, as its overlap policy has it, in one."""
