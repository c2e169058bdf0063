"""What one run may take, and how many processes wait for the next."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["DEFAULT_WARM", "NO_OVERRIDES", "LimitOverrides", "Limits", "WarmPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that hold for one run; all are set. Defaults and ranges: ``polycall.engine.limits``."""

    timeout_ms: int
    memory_bytes: int
    processes: int
    open_files: int
    disk_bytes: int
    result_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    cpu_ms: int = 0  # of all processes and threads together; 0: nobody said, its wall time is bound enough


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOverrides:
    """What a request or a version asks of the limits; None leaves the default."""

    timeout_ms: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    open_files: int | None = None
    disk_bytes: int | None = None
    result_bytes: int | None = None
    stdout_bytes: int | None = None
    stderr_bytes: int | None = None
    cpu_ms: int | None = None


NO_OVERRIDES = LimitOverrides()  # one for all who ask for nothing: to be asked by is to compare nine fields


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmPolicy:
    """How many warm workers a version has, and for how long; 0 leaves it to the server.

    ``min`` are ready before anybody calls, of the version that callers get who name none. ``max`` are there at most,
    idle and busy ones together; runs beyond it get fresh processes, which end with them. One that idles for ``idle_ms``
    ends.
    """

    min: int = 0
    max: int = 0
    idle_ms: int = 0


DEFAULT_WARM = WarmPolicy()
