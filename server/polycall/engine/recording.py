"""Which synchronous executions are kept. A Call always is: it was promised."""

from __future__ import annotations

from polycall.domain import Execution, ExecutionState
from polycall.quick import dataclass

__all__ = ["ALL", "Recording"]


@dataclass(frozen=True, slots=True)
class Recording:
    """What the operator asks for: ``all``, ``errors``, ``sampled`` (errors, and one in so many others) or ``none``.

    Whatever it is, an execution of a face is kept, since its contract shows what was run through it, and one with a
    request id, since a repeat is answered with it.
    """

    keep: str = "all"
    one_in: int = 100

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.keep == "all"

    def keeps(self, execution: Execution) -> bool:
        """Return whether an execution that has ended is kept."""
        if self.keep == "all" or execution.face is not None or execution.request_id is not None:
            return True
        if self.keep == "none":
            return False
        failed = execution.state is not ExecutionState.COMPLETED
        # the last bits of an id are random (RFC 9562 §5.7)
        return failed or (self.keep == "sampled" and execution.id.int % self.one_in == 0)


ALL = Recording()
