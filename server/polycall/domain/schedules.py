"""What makes executions at the ticks of a clock."""

from __future__ import annotations

import enum
from dataclasses import field

from polycall.domain.limits import LimitOverrides
from polycall.domain.policies import RetryPolicy
from polycall.quick import dataclass

__all__ = ["MissedTicks", "Overlap", "Schedule"]


class Overlap(enum.StrEnum):
    """What becomes of a tick while an earlier execution of its schedule has not ended."""

    ALLOW = "allow"  # they run beside each other
    SKIP = "skip"  # the tick is left out, and counted
    REPLACE = "replace"  # the earlier ones are cancelled


class MissedTicks(enum.StrEnum):
    """What becomes of ticks that nobody could fire in time, such as while no server ran."""

    SKIP = "skip"  # left out, and counted
    RUN_LAST = "run_last"  # the last of them runs, late; the others are left out, and counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron expression that makes executions of a function, each at a tick: a moment that the expression names.

    Its package takes it along when it is deleted, and so does its version, where it names one.
    """

    project_id: str
    id: str
    package_id: str
    function: str
    cron: str  # five fields, as they were written
    created_at: int
    updated_at: int
    version_id: str | None = None  # None: at each tick the newest RELEASED, else the newest READY
    timezone: str = "UTC"  # of the IANA database
    input: bytes = b"null"  # JSON text
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    max_attempts: int | None = None  # as of a Call
    deadline_ms: int | None = None  # how long after its tick an execution may wait and run
    completion_url: str | None = field(default=None, repr=False)  # where the end of each execution is told
    overlap: Overlap = Overlap.ALLOW
    missed: MissedTicks = MissedTicks.SKIP
    paused: bool = False
    display_name: str = ""
    description: str = ""
    created_by: str | None = None  # key id
    face: str | None = None  # which face made it
    face_data: bytes | None = None  # JSON: what the face keeps beside it
    next_run: int | None = None  # the next tick; None while paused
    last_run: int | None = None  # the last tick that made an execution
    runs: int = 0  # how many ticks have made one
    skipped: int = 0  # how many have not
    last_skipped: int | None = None  # the last tick that has not
    last_skip: str = ""  # why
    revision: int = 0  # how often it was changed by a caller
    priority: int = 0  # as of a Call
    retry: RetryPolicy | None = None  # None: its function's
