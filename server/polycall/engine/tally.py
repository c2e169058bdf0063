"""The tally: what has happened in this process since it started, for its operator.

Everything is counted by words of our own; nothing that a client chooses is kept, so there is a bound to what there is
to count.
"""

from __future__ import annotations

from collections import Counter

from polycall.domain import Execution, ExecutionKind, ExecutionState, Reason, StartKind
from polycall.durations import Durations

__all__ = ["Tally"]


class Tally:
    """Counts the ends of executions that ran here, and how long their phases took."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[ExecutionKind, ExecutionState, Reason | None]] = Counter()
        self.starts: Counter[StartKind] = Counter()
        self.queued = Durations()
        self.started = Durations()
        self.ran = Durations()

    def end(self, execution: Execution) -> None:
        """Count an execution that has ended here."""
        reason = None if execution.error is None else execution.error.reason
        self.ended[execution.kind, execution.state, reason] += 1
        usage = execution.usage
        self.queued.add(usage.queue_us / 1e6)
        if execution.start_kind is None:
            return  # no process ever got it
        self.starts[execution.start_kind] += 1
        self.started.add(usage.start_us / 1e6)
        self.ran.add(usage.run_us / 1e6)
