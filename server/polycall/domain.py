"""The nouns of polycall, as frozen values.

Nothing here knows protobuf, gRPC, SQL or processes; every other module may import it. One word has one
meaning: see ``docs/words.md``. Times are integer milliseconds since the epoch (UTC); durations carry
their unit in the name; JSON text is ``bytes`` (UTF-8), checked but never rebuilt.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from polycall.quick import quick

__all__ = [
    "DEFAULT_WARM",
    "ApiKey",
    "Convention",
    "Credential",
    "CredentialKind",
    "DeclaredType",
    "EgressPolicy",
    "EgressRule",
    "Entry",
    "EntryQuota",
    "Execution",
    "ExecutionError",
    "ExecutionFilter",
    "ExecutionKind",
    "ExecutionState",
    "FaceObject",
    "Function",
    "InputFile",
    "IsolationLevel",
    "Language",
    "LimitOverrides",
    "Limits",
    "ManifestKind",
    "MissedTicks",
    "OutboundRequest",
    "OutputChunk",
    "Overlap",
    "Package",
    "Parameter",
    "Principal",
    "Project",
    "Reason",
    "RevisionState",
    "Runtime",
    "RuntimeRevision",
    "Schedule",
    "SchemaOrigin",
    "Scope",
    "Secret",
    "Session",
    "StartKind",
    "Stream",
    "Usage",
    "Version",
    "VersionState",
    "WarmPolicy",
]

DEFAULT_PROJECT = "default"


class Language(enum.StrEnum):
    """What code is written in."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    TYPESCRIPT = "typescript"


class Convention(enum.StrEnum):
    """How arguments reach the code."""

    INPUT = "input"  # execute(input)
    KEYWORDS = "keywords"  # f(**input)
    PARAMETERS = "parameters"  # declared inputs, taken by name from the input, passed by position
    HANDLE = "handle"  # handle(client, data, secrets, function_call_info), by the names it declares
    SCRIPT = "script"  # run the file; stdin, args, exit code


class SchemaOrigin(enum.StrEnum):
    """Where the schemas of a function come from."""

    DECLARED = "declared"  # whoever made the version
    SOURCE = "source"  # the text of the source; nothing of it ran
    IMPORT = "import"  # pydantic, asked in a sandbox in which the module was imported


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


class Overlap(enum.StrEnum):
    """What becomes of a tick while an earlier execution of its schedule has not ended."""

    ALLOW = "allow"  # they run beside each other
    SKIP = "skip"  # the tick is left out, and counted
    REPLACE = "replace"  # the earlier ones are cancelled


class MissedTicks(enum.StrEnum):
    """What becomes of ticks that nobody could fire in time, such as while no server ran."""

    SKIP = "skip"  # left out, and counted
    RUN_LAST = "run_last"  # the last of them runs, late; the others are left out, and counted


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


class Reason(enum.StrEnum):
    """Why something failed; the same names as ``polycall.v1.ErrorReason``, without its prefix."""

    # requests that were refused
    INVALID_INPUT = "INVALID_INPUT"
    LIMIT_OUT_OF_RANGE = "LIMIT_OUT_OF_RANGE"
    API_KEY_MISSING = "API_KEY_MISSING"
    API_KEY_INVALID = "API_KEY_INVALID"
    SCOPE_MISSING = "SCOPE_MISSING"
    PROJECT_NOT_FOUND = "PROJECT_NOT_FOUND"
    PACKAGE_NOT_FOUND = "PACKAGE_NOT_FOUND"
    VERSION_NOT_FOUND = "VERSION_NOT_FOUND"
    FUNCTION_NOT_FOUND = "FUNCTION_NOT_FOUND"
    EXECUTION_NOT_FOUND = "EXECUTION_NOT_FOUND"
    RUNTIME_NOT_FOUND = "RUNTIME_NOT_FOUND"
    RUNTIME_IN_USE = "RUNTIME_IN_USE"
    API_KEY_NOT_FOUND = "API_KEY_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    FACE_OBJECT_NOT_FOUND = "FACE_OBJECT_NOT_FOUND"
    SECRET_NOT_FOUND = "SECRET_NOT_FOUND"  # noqa: S105
    SECRET_UNUSABLE = "SECRET_UNUSABLE"  # noqa: S105
    SCHEDULE_NOT_FOUND = "SCHEDULE_NOT_FOUND"
    FUNCTION_NOT_READY = "FUNCTION_NOT_READY"
    RUNTIME_MISSING = "RUNTIME_MISSING"
    ISOLATION_UNAVAILABLE = "ISOLATION_UNAVAILABLE"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    VERSION_RELEASED = "VERSION_RELEASED"
    QUEUE_FULL = "QUEUE_FULL"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    CANCELLED_BY_CLIENT = "CANCELLED_BY_CLIENT"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    DRAINING = "DRAINING"
    UNKNOWN_METHOD = "UNKNOWN_METHOD"
    INTERNAL = "INTERNAL"
    # executions that did not complete
    USER_EXCEPTION = "USER_EXCEPTION"
    USER_EXIT = "USER_EXIT"
    ENTRYPOINT_NOT_FOUND = "ENTRYPOINT_NOT_FOUND"
    OUTPUT_NOT_SERIALIZABLE = "OUTPUT_NOT_SERIALIZABLE"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    CPU_TIME_EXCEEDED = "CPU_TIME_EXCEEDED"
    PROCESSES_EXCEEDED = "PROCESSES_EXCEEDED"
    DISK_EXCEEDED = "DISK_EXCEEDED"
    KILLED_BY_SIGNAL = "KILLED_BY_SIGNAL"
    EXECUTION_TIMEOUT = "EXECUTION_TIMEOUT"
    EXECUTION_CANCELLED = "EXECUTION_CANCELLED"
    WORKER_LOST = "WORKER_LOST"


class Scope(enum.StrEnum):
    """What a key may do in its project."""

    RUN = "run"  # Execute, RunFunction, Call, CancelExecution
    READ = "read"  # read packages and executions
    DEPLOY = "deploy"  # create, release, delete packages and versions
    ADMIN = "admin"  # the project's API keys
    OPERATOR = "operator"  # projects and the keys of every project; only an operator can give it


class Stream(enum.StrEnum):
    """An output stream of a run."""

    STDOUT = "stdout"
    STDERR = "stderr"


class VersionState(enum.StrEnum):
    """Where a version is in its life."""

    DRAFT = "draft"
    ANALYSING = "analysing"
    READY = "ready"
    RELEASED = "released"
    ERROR = "error"

    @property
    def runnable(self) -> bool:
        """True if its functions can be run."""
        return self in (VersionState.READY, VersionState.RELEASED)


class ManifestKind(enum.StrEnum):
    """The file that names the packages of a runtime."""

    REQUIREMENTS_TXT = "requirements.txt"  # of pip
    PACKAGE_JSON = "package.json"  # of npm


class RevisionState(enum.StrEnum):
    """Where a runtime revision is in its life."""

    PENDING = "pending"  # waits to be built
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"  # error and log say why; a new revision is the way on

    @property
    def final(self) -> bool:
        """True once nothing can change any more."""
        return self in (RevisionState.READY, RevisionState.FAILED)


@quick
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


@quick
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


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file put into the work directory before the code starts. ``path`` is relative."""

    path: str
    data: bytes


class CredentialKind(enum.StrEnum):
    """Where in a request a credential goes."""

    BASIC = "basic"  # Authorization: Basic
    BEARER = "bearer"  # Authorization: Bearer; wins over basic
    HEADER = "header"  # a header of its own
    QUERY = "query"  # a parameter of the query


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is added to outbound requests outside the sandbox.

    ``name``: BASIC: the user, HEADER: the header, QUERY: the parameter. ``secret``: password, token or value, as it is
    or as it is kept (``sealed``); "" where ``secret_id`` names the secret that is it when a run begins. No ``repr``
    shows what is secret: a user may be, too.
    """

    kind: CredentialKind
    name: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    sealed: bool = False
    secret_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """Hosts that a run may reach: ``example.com``, ``*.example.com`` (not the apex) or ``*``, each with ``:port``.

    ``credentials``: at most one of each kind. ``any_address``: as in ``EgressPolicy``, for this host alone.
    """

    host: str
    credentials: tuple[Credential, ...] = ()
    any_address: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Which hosts a run may reach by HTTP; nothing else is reachable. No rules: nothing is.

    ``any_address``: the operator named these hosts, so it does not matter that one has a private address. No request
    can set it.
    """

    rules: tuple[EgressRule, ...] = ()
    any_address: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """One request that a run made. Neither path nor headers nor bodies are kept: they may hold secrets.

    ``method`` is ``CONNECT`` for a connection that was passed on encrypted: what is in it nobody sees, and the bytes
    are those of the connection. ``status``: of the answer; None without one. ``refused``: why it did not get there.
    """

    time_ms: int  # when it began, the server's clock
    host: str
    port: int
    method: str
    status: int | None = None
    sent_bytes: int = 0  # of the request's body
    received_bytes: int = 0  # of the answer's body
    refused: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """A piece of output as it arrived; ``time_ms`` is the server's clock."""

    stream: Stream
    time_ms: int
    data: bytes


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
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
    schedule_id: str | None = None  # what made it; the schedule may be gone
    scheduled_at: int | None = None  # the tick it is for; None: somebody asked for it


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredType:
    """A declared type of an input or an output, in the words of the package's own contract."""

    type: str  # e.g. "number", "text", "object"; "" = any JSON value
    is_list: bool = False
    nullable: bool = False
    children: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared input of a function."""

    name: str
    declared: DeclaredType
    default: bytes | None = None  # JSON text; None = no default
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One callable entry point of a version."""

    name: str
    entrypoint: str  # "module:callable", or the file for SCRIPT
    convention: Convention
    input_schema: bytes | None = None  # JSON Schema text
    output_schema: bytes | None = None  # of what it returns; None: not known
    schema_origin: SchemaOrigin | None = None  # None: of an earlier release, or there are none
    parameters: tuple[Parameter, ...] = ()  # PARAMETERS: in declared order
    output: DeclaredType | None = None
    display_name: str = ""
    description: str = ""
    private: bool = False  # not callable from outside
    accepts_any: bool = False  # takes **kwargs: members the schema does not know are passed on


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable snapshot of a package."""

    project_id: str
    package_id: str
    id: str
    state: VersionState
    language: Language
    created_at: int
    bundle: str  # sha256 (hex) of the stored source bundle
    functions: tuple[Function, ...] = ()
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)  # variable -> id of the secret that is its value
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # HANDLE: by name, sealed
    egress: EgressPolicy | None = None  # its secrets are sealed
    runtime: str = ""  # runtimes/{runtime}/revisions/{revision}; "" = the server's default of the language
    reuse: bool = True  # False: every run gets a fresh process
    adapter: str = ""  # what of a face its runs get, if they name none; "": nothing
    warm: WarmPolicy = DEFAULT_WARM
    released_at: int | None = None  # while ANALYSING: it shall be released once it can be
    created_by: str | None = None
    error: str | None = None  # why the state is ERROR
    face_data: bytes | None = None  # JSON: what a face keeps beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A named thing that holds code. The id is what callers and faces call it.

    ``face`` made it and lists it; None: the native contract. ``alias`` is another id that the face has for it, unique
    in its project and face. ``face_data``: JSON of what the vendor's object has and a package has not; the engine never
    looks into it.
    """

    project_id: str
    id: str
    created_at: int
    updated_at: int
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    face: str | None = None
    alias: str | None = None
    face_data: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceObject:
    """What a vendor's contract has that is neither package nor run: a script set, an uploaded file.

    ``alias`` is a second id, unique among the objects of that project, face and kind. ``revision`` counts the changes,
    from 1. ``data``: JSON of the face. ``blob``: the digest of something large of it, such as a file's content.
    """

    project_id: str
    face: str
    kind: str
    id: str
    created_at: int
    updated_at: int
    revision: int = 1
    alias: str | None = None
    data: bytes = b"{}"
    blob: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A language plus the packages of a manifest, as they change over time: each change is a revision."""

    project_id: str
    id: str
    language: Language
    created_at: int
    display_name: str = ""
    created_by: str | None = None
    face_data: bytes | None = None  # JSON: what a face keeps beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRevision:
    """One built environment, or what shall become one. The id is unique in its project."""

    project_id: str
    runtime_id: str
    id: str
    language: Language
    manifest_kind: ManifestKind
    manifest: str
    state: RevisionState
    created_at: int
    additional_imports: str = ""  # Python: modules to preload beside those that the manifest declares
    started_at: int | None = None
    ended_at: int | None = None
    digest: str = ""  # sha256 (hex) of what it is built from; environments of one digest are one
    size_bytes: int = 0
    file_count: int = 0
    preload: tuple[str, ...] = ()  # modules that its processes find imported
    log: str = ""
    log_truncated: bool = False
    error: str | None = None  # why the state is FAILED
    created_by: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The tenant; owns everything else."""

    id: str
    created_at: int
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is stored of an API key; its secret is not."""

    id: str
    project_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What everybody may know of a secret; its value is sealed in the store, and opened where it is used.

    The id is what refers to it; several may have one name.
    """

    project_id: str
    id: str
    name: str
    created_at: int
    updated_at: int  # when it got its value
    face: str | None = None  # which face made it; None: native
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking: a key, its project and its scopes."""

    project_id: str
    key_id: str
    scopes: frozenset[Scope]
    user_id: str = "0"  # numeric text, where a contract wants a user


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A Cognite session: the right to act for a key, created READY with a nonce that binds it once.

    ``expires_at`` says for how long it is ACTIVE once it is bound.
    """

    project_id: str
    id: int
    type: str  # CLIENT_CREDENTIALS, TOKEN_EXCHANGE, ONESHOT_TOKEN_EXCHANGE
    status: str  # READY, ACTIVE, REVOKED; what its times make of it: `status_at`
    created_at: int
    expires_at: int
    nonce_expires_at: int
    client_id: str | None = None
    key_id: str | None = None  # None: made by an earlier release; nobody can act for it
    scopes: frozenset[Scope] = frozenset()

    def status_at(self, now_ms: int) -> str:
        """Return the status as it is at a time: what is READY or ACTIVE is so until its time is up."""
        until = {"READY": self.nonce_expires_at, "ACTIVE": self.expires_at}.get(self.status)
        return "EXPIRED" if until is not None and until <= now_ms else self.status


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that code keeps under a key: JSON text, until it expires (ms since the epoch; None: never)."""

    value: bytes
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class EntryQuota:
    """How many values a project may keep, and how many bytes with their keys."""

    entries: int
    bytes: int
