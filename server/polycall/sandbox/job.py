"""What goes into a sandbox and what comes out of it.

A :class:`Job` is one run. An :class:`Outcome` is what became of it: how it ended is known from the kernel
and from the server's own timers, never from the run itself. User code failing is an outcome, never an
exception of this package.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from typing import NamedTuple, Protocol

from polycall.domain import (
    DEFAULT_WARM,
    Convention,
    EgressPolicy,
    ExecutionError,
    InputFile,
    IsolationLevel,
    Language,
    Limits,
    OutboundRequest,
    OutputChunk,
    StartKind,
    Usage,
    WarmPolicy,
)
from polycall.quick import dataclass
from polycall.sandbox.image import DEFAULT_IMAGE, Image
from polycall.structs import cstruct

__all__ = ["AskRefused", "Bundle", "Ending", "Job", "Outcome", "OutputSink", "Runner", "Services", "WorkerKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Source files, by relative path, under a content hash. ``sys.path[0]`` of the run is their root."""

    digest: str  # sha256, hex
    files: Mapping[str, bytes]


class WorkerKey(NamedTuple):
    """What two runs must share to share a warm worker: project, package and version, and what is fixed at load."""

    project_id: str
    package_id: str
    version_id: str
    digest: str = ""  # of env, limits that are set at load, adapter

    @property
    def version(self) -> tuple[str, str, str]:
        """The version that they share."""
        return self.project_id, self.package_id, self.version_id


class AskRefused(Exception):
    """Raised by services for what the code may not have, or asked for in the wrong way; it is told the message."""


class Services(Protocol):
    """What the code of one run may ask of the server meanwhile."""

    async def answer(self, method: str, payload: bytes) -> bytes:
        """Return JSON text for JSON text, which is hostile. Raises AskRefused. Cancelled when the run ends."""


@cstruct(frozen=True, slots=True, kw_only=True)
class Job:
    """One run.

    ``entrypoint`` is ``module:callable``, where ``callable`` may be dotted; for SCRIPT, the path of a file of the
    bundle. ``payload`` is JSON text (checked by the caller, parsed only inside). ``context`` is a JSON object: for
    HANDLE ``{"secrets": {...}, "function_call_info": {...}}``. ``adapter`` is the source of an in-sandbox module of a
    face (see ``polycall.sandbox.inside``), ``adapter_options`` a JSON object for it. ``key`` asks for a warm worker;
    None for a fresh process that serves this one run; ``warm`` says how many of them and for how long. ``load_only``:
    get ready to call the entrypoint, and do not call it. ``image`` is what the process is made of. ``egress``: the
    hosts that it may reach by HTTP; None for no network at all. ``project_id``: whose share of what all projects reach
    hosts with it takes. ``outbound`` is told what a run that is cancelled asked
    of them, and how many requests more; of others the outcome says it. ``streamed``: standard output goes to the sink
    alone and is not kept;
    more than its limit ends the run. ``services``: what its adapter may ask of the server (see
    ``polycall.sandbox.asks``); None: nothing, and to ask ends the run.
    """

    bundle: Bundle
    entrypoint: str
    convention: Convention
    limits: Limits
    language: Language = Language.PYTHON
    payload: bytes = b"null"
    parameters: tuple[str, ...] = ()  # PARAMETERS: declared order
    context: bytes = b"{}"
    adapter: str | None = None
    adapter_options: bytes = b"{}"
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[InputFile, ...] = ()
    args: tuple[str, ...] = ()
    stdin: bytes = b""
    key: WorkerKey | None = None
    warm: WarmPolicy = DEFAULT_WARM
    load_only: bool = False
    image: Image = DEFAULT_IMAGE
    egress: EgressPolicy | None = None
    project_id: str = ""
    outbound: Callable[[tuple[OutboundRequest, ...], int], None] | None = None
    streamed: bool = False
    services: Services | None = None


class Ending(enum.StrEnum):
    """How a run ended."""

    RETURNED = "returned"  # Outcome.value holds JSON text; b"" for JavaScript's undefined
    NOT_SERIALIZABLE = "not_serializable"  # returned something JSON cannot hold
    RESULT_TOO_LARGE = "result_too_large"
    RAISED = "raised"  # any exception, syntax and import errors and a missing entrypoint included
    EXITED = "exited"  # left by sys.exit or os._exit, whatever the code; SCRIPT: always, with its exit code
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_CPU_TIME = "out_of_cpu_time"
    TOO_MANY_PROCESSES = "too_many_processes"  # where the kernel does not count them; killed
    OUT_OF_DISK = "out_of_disk"  # where no file system bounds it; killed
    OUTPUT_TOO_LARGE = "output_too_large"  # beyond the hard cap; killed
    LOST = "lost"  # the sandbox itself failed: our fault


@cstruct(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a run. ``exit_code`` is the process's own: 0 for RETURNED, 1 for RAISED, 128+n for signals."""

    ending: Ending
    value: bytes | None = None
    error: ExecutionError | None = None
    exit_code: int = 0
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    usage: Usage = field(default_factory=Usage)
    outbound: tuple[OutboundRequest, ...] = ()  # the first of them
    outbound_omitted: int = 0  # how many more there were
    start_kind: StartKind = StartKind.FORKED
    isolation: IsolationLevel = IsolationLevel.PROCESS


class OutputSink(Protocol):
    """Takes output while it is produced; called on the event loop, must not block."""

    def __call__(self, chunk: OutputChunk, /) -> None:
        """Take a piece."""


class Runner(Protocol):
    """What the engine needs of the sandbox."""

    @property
    def isolation(self) -> IsolationLevel:
        """The level that was probed and self-tested at start."""

    @property
    def languages(self) -> Collection[Language]:
        """The languages that run here."""

    async def run(self, job: Job, output: OutputSink | None = None, begun: Callable[[], None] | None = None) -> Outcome:
        """Run a job to its end. Cancelling the awaiting task kills the whole process tree first.

        ``limits.timeout_ms`` counts from the hand-off, of which ``begun`` is told; the caller bounds what comes before.
        """

    def ready(self, job: Job) -> bool:
        """Whether a process for a job can be had at once, or as soon as others end; if not, ``get_ready`` is for it."""

    async def get_ready(self, job: Job) -> None:
        """Wait until what a job's process is made of is there, or cannot be had; the run itself tells which."""

    def keep_ready(self, project_id: str, package_id: str, job: Job | None, count: int) -> None:
        """Have so many warm workers of a job's program ready from now on, in place of what the package had ready."""

    async def retire(self, project_id: str, package_id: str, version_id: str | None = None) -> None:
        """End the idle warm workers of a version (of all versions of a package), busy ones after their run."""
