"""One run of code: how it came about, where it is, and what became of it."""

from __future__ import annotations

import enum
import uuid
from dataclasses import field

from polycall.domain.egress import OutboundRequest
from polycall.domain.functions import Language
from polycall.domain.limits import Limits
from polycall.domain.policies import RetryPolicy
from polycall.domain.reasons import Reason
from polycall.quick import dataclass
from polycall.structs import cstruct

__all__ = [
    "Attempt",
    "Execution",
    "ExecutionError",
    "ExecutionFilter",
    "ExecutionKind",
    "ExecutionState",
    "IsolationLevel",
    "OutputChunk",
    "StartKind",
    "Stream",
    "Usage",
]


class ExecutionKind(enum.StrEnum):
    """Who waits for an execution: its caller, nobody, or the clock."""

    SYNC = "sync"
    CALL = "call"
    SCHEDULE = "schedule"


class ExecutionState(enum.IntEnum):
    """Where an execution is. The numbers are stored; never renumber."""

    QUEUED = 0
    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    TIMEOUT = 4
    CANCELLED = 5

    @property
    def final(self) -> bool:
        """True once nothing can change any more."""
        return self >= ExecutionState.COMPLETED


class StartKind(enum.StrEnum):
    """What the process that ran an execution was before it got it."""

    WARM = "warm"  # a worker that had already run this version
    FORKED = "forked"  # a fresh sandboxed process that was waiting
    COLD = "cold"  # a process that had to be started for it


class IsolationLevel(enum.IntEnum):
    """How far the code is kept from everything else."""

    PROCESS = 0  # rlimits, clean environment, timeouts
    CONFINED = 1  # Landlock and seccomp
    NAMESPACED = 2  # own user, mount, pid, network and ipc namespaces
    CONTAINED = 3  # and a memory and pids cgroup


class Stream(enum.StrEnum):
    """An output stream of a run."""

    STDOUT = "stdout"
    STDERR = "stderr"


@cstruct(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run took. ``None``: not known at this isolation level."""

    queue_us: int = 0  # waiting for a slot
    start_us: int = 0  # from the slot to the hand-off of the job
    run_us: int = 0  # from the hand-off to the end
    cpu_us: int | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionError:
    """Why an execution did not complete.

    ``type`` is the bare class name of a user exception (``ValueError``), ``module`` where that class
    lives (``builtins``), ``message`` is ``str(exception)``. ``traceback`` holds user frames only.
    """

    reason: Reason
    message: str
    type: str = ""
    module: str = ""
    traceback: str = ""


@cstruct(frozen=True, slots=True)
class OutputChunk:
    """A piece of output as it arrived; ``time_ms`` is the server's clock."""

    stream: Stream
    time_ms: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A start of an execution that failed and was tried again. ``error`` has no traceback."""

    number: int
    started_at: int | None
    ended_at: int | None
    error: ExecutionError


@cstruct(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of one function or of ad-hoc code: the one resource of every verb."""

    id: uuid.UUID
    project_id: str
    kind: ExecutionKind
    state: ExecutionState
    queued_at: int
    started_at: int | None = None
    ended_at: int | None = None
    language: Language = Language.PYTHON
    package_id: str | None = None  # None: ad-hoc code
    version_id: str | None = None
    function: str | None = None
    face: str | None = None
    alias: str | None = None  # the id as the face spells it, where that is not the UUID
    request_id: str | None = None
    deadline: int | None = None
    attempt: int = 0
    max_attempts: int = 1
    cancel_requested: bool = False
    owner: str | None = None  # the node that runs it
    created_by: str | None = None  # key id
    input: bytes | None = None
    result: bytes | None = None  # b"": returned nothing at all, as only JavaScript can (undefined)
    error: ExecutionError | None = None
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    bodies_dropped: bool = False  # the store was away too long: input, result and output were not kept
    usage: Usage = field(default_factory=Usage)
    outbound: tuple[OutboundRequest, ...] = ()  # the first of them
    outbound_omitted: int = 0  # how many more there were
    limits: Limits | None = None
    start_kind: StartKind | None = None
    isolation: IsolationLevel | None = None
    spec: bytes | None = None  # JSON: what a Call needs to be run later (env, limits, adapter)
    face_data: bytes | None = None  # JSON: what the face wants back when it shows the execution
    sealed: str | None = field(default=None, repr=False)  # what nobody reads without the server's key, for the same
    schedule_id: str | None = None  # what made it; the schedule may be gone
    scheduled_at: int | None = None  # the tick it is for; None: somebody asked for it
    completion_url: str | None = field(default=None, repr=False)  # where its end is told; may hold a token
    priority: int = 0  # PRIORITIES: the highest of a project comes first
    retry: RetryPolicy | None = None  # None: what fails is not tried again
    attempts: tuple[Attempt, ...] = ()  # those that failed and were tried again
    run_at: int | None = field(default=None, compare=False)  # not started before, as the store has it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which executions to list; every part that is not None must match."""

    states: tuple[ExecutionState, ...] = ()
    package_id: str | None = None
    version_id: str | None = None
    function: str | None = None
    face: str | None = None
    schedule_id: str | None = None
    queued_after: int | None = None  # inclusive, ms
    queued_before: int | None = None  # exclusive, ms
    before: uuid.UUID | None = None  # with a smaller id: older ones; it need not be that of an execution
    failed_exit: bool = False  # with an exit code that is not 0, or none
    ended_after: int | None = None  # inclusive, ms
    ended_before: int | None = None  # exclusive, ms
