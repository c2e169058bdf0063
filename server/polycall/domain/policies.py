"""What holds for the Calls of a function, whichever version of it runs: how many at once, and what is tried again."""

from __future__ import annotations

from polycall.domain.reasons import Reason
from polycall.quick import dataclass

__all__ = ["PRIORITIES", "RETRIED", "FunctionPolicy", "RetryPolicy", "is_retryable"]

PRIORITIES = range(-9, 10)  # what a Call may ask for; few enough to be told apart by people

# What is tried again where nobody says what: what code may do today and not tomorrow. The limits that it went beyond it
# goes beyond again.
RETRIED = (Reason.EXECUTION_TIMEOUT, Reason.KILLED_BY_SIGNAL, Reason.USER_EXCEPTION, Reason.USER_EXIT)

_RETRYABLE = frozenset(
    {
        *RETRIED,
        Reason.CPU_TIME_EXCEEDED,
        Reason.DISK_EXCEEDED,
        Reason.ENTRYPOINT_NOT_FOUND,
        Reason.INTERNAL,
        Reason.OUTPUT_NOT_SERIALIZABLE,
        Reason.OUTPUT_TOO_LARGE,
        Reason.OUT_OF_MEMORY,
        Reason.PROCESSES_EXCEEDED,
        Reason.RESULT_TOO_LARGE,
        Reason.RUNTIME_MISSING,
        Reason.SECRET_UNUSABLE,
        Reason.WORKER_LOST,
    }
)


def is_retryable(reason: Reason) -> bool:
    """Tell whether an execution that ended so may be tried again at all: it was not cancelled, nor refused."""
    return reason in _RETRYABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a Call is started in all if its code fails, and how long it waits before each time.

    The n-th wait is ``initial_ms`` times ``multiplier`` to the n - 1, ``maximum_ms`` at most, less a random part of it
    of up to ``jitter``. ``reasons``: which ends are tried again, in order.
    """

    max_attempts: int
    initial_ms: int = 1000
    maximum_ms: int = 60_000
    multiplier: float = 2.0
    jitter: float = 0.2
    reasons: tuple[Reason, ...] = RETRIED

    def wait_ms(self, attempt: int, chance: float) -> int:
        """Return how long to wait after an attempt, counted from 1; ``chance`` is 0 to 1, by which the wait varies."""
        # an exponent as large as attempts may be makes no float overflow: 10 to the 10
        wait_ms = min(self.initial_ms * self.multiplier ** (attempt - 1), self.maximum_ms)
        return max(1, round(wait_ms * (1 - self.jitter * chance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPolicy:
    """The policy of a function of a package; all versions of it have the same.

    ``max_running``: so many of its Calls run at once, over all servers; None: no limit of its own. ``retry``: of Calls
    that name none; None: they are not tried again. Of one that is asked for, ``running`` and ``queued`` are counted.
    """

    project_id: str
    package_id: str
    function: str
    max_running: int | None = None
    retry: RetryPolicy | None = None
    updated_at: int | None = None  # None: it was never set
    running: int = 0
    queued: int = 0
