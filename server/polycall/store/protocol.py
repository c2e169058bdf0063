"""What the engine needs of the store.

Every call that a caller can reach names the project. Values go in and come out by value: what is returned shares
nothing with what was put in. One conformance suite (``tests/store``) runs over every implementation.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from polycall.domain import (
    ApiKey,
    EgressPolicy,
    Entry,
    EntryQuota,
    Execution,
    ExecutionError,
    ExecutionFilter,
    ExecutionState,
    FaceObject,
    OutputChunk,
    Package,
    Project,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Schedule,
    Secret,
    Session,
    Version,
    VersionState,
)
from polycall.store.retention import BlobPlace

T = TypeVar("T")

__all__ = [
    "Beat",
    "DueSchedules",
    "EntryStore",
    "ExecutionStore",
    "FaceStore",
    "Fired",
    "Firing",
    "NodeStore",
    "Page",
    "RegistryStore",
    "RetentionStore",
    "RuntimeStore",
    "ScheduleFilter",
    "ScheduleStore",
    "Sealed",
    "SealedSecret",
    "SealedStore",
    "SealedVersion",
    "SecretStore",
    "SessionStore",
    "Store",
    "TenancyStore",
]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list and the token of the next ("" at the end)."""

    items: tuple[T, ...]
    next_token: str = ""


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


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node learns when it says that it lives."""

    others: frozenset[str]  # nodes that live as well
    owned: frozenset[uuid.UUID]  # executions that are RUNNING, and this node's


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as it is kept."""

    project_id: str
    id: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """What is sealed of a version, and ``kept``, the very texts that it was read from; ``seq`` tells versions apart."""

    seq: int
    project_id: str
    package_id: str
    egress: EgressPolicy | None = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    kept: tuple[str | None, str | None] = field(repr=False)


Sealed: TypeAlias = SealedSecret | SealedVersion


class Fired(enum.Enum):
    """What came of firing a tick."""

    RAN = "ran"  # the execution is in the queue
    LEFT_OUT = "left out"  # counted, with why
    LOST = "lost"  # nothing was done: another was quicker, or the schedule was changed since it was seen, or is gone


class TenancyStore(Protocol):
    """Projects, API keys, counters."""

    async def create_project(self, project: Project) -> Project:
        """Insert; raise AlreadyExists."""

    async def get_project(self, project_id: str) -> Project:
        """Return; raise NotFound."""

    async def list_projects(self) -> tuple[Project, ...]:
        """Return all, by id."""

    async def create_key(self, key: ApiKey, secret_hash: bytes) -> ApiKey:
        """Insert with the sha256 of the whole key text; raise AlreadyExists (id or hash), NotFound (project)."""

    async def find_key(self, secret_hash: bytes) -> ApiKey | None:
        """Return the key of a hash, revoked and expired ones too; None if there is none."""

    async def get_key(self, project_id: str, key_id: str) -> ApiKey:
        """Return, also one that is revoked; raise NotFound."""

    async def list_keys(self, project_id: str) -> tuple[ApiKey, ...]:
        """Return all of a project, revoked ones too, by creation."""

    async def revoke_key(self, project_id: str, key_id: str, now_ms: int) -> ApiKey:
        """Set ``revoked_at`` (the first time stands); raise NotFound."""

    async def touch_keys(self, used: Mapping[str, int]) -> None:
        """Set ``last_used_at`` of several keys, never backwards."""

    async def next_number(self, name: str) -> int:
        """Return the next number of a named counter, starting at 1; unique, rising, with gaps (blocks of 1000)."""


class SessionStore(Protocol):
    """Sessions, and the nonces that bind them."""

    async def create_session(self, session: Session, nonce_hash: bytes) -> None:
        """Insert; raise AlreadyExists (id or nonce), NotFound (project)."""

    async def bind_session(self, project_id: str, nonce_hash: bytes, now_ms: int, expires_at: int) -> Session | None:
        """Use a nonce once: READY and unexpired -> ACTIVE with a new expiry, else None. One statement."""

    async def extend_session(self, project_id: str, session_id: int, expires_at: int) -> Session | None:
        """Let an ACTIVE session, also one whose time is up, last at least that long; None: it is not ACTIVE."""

    async def end_session(self, project_id: str, session_id: int, now_ms: int) -> None:
        """Let the time of an ACTIVE session be up, unless it is."""

    async def get_sessions(self, project_id: str, ids: Sequence[int]) -> tuple[Session, ...]:
        """Return those that exist, in the order asked."""

    async def list_sessions(
        self, project_id: str, statuses: Sequence[str], now_ms: int, page_size: int, page_token: str = ""
    ) -> Page[Session]:
        """Return a page, newest first: those that have one of the statuses at ``now_ms``, all if there are none.

        Raise InvalidArgument (token).
        """

    async def revoke_sessions(self, project_id: str, ids: Sequence[int], now_ms: int) -> tuple[Session, ...]:
        """READY and ACTIVE -> REVOKED; returns all that exist, in the order asked."""


class SecretStore(Protocol):
    """Secrets: what is known of them, and their values as they were sealed."""

    async def create_secret(self, secret: Secret, sealed: str, *, most: int, unique_name: bool = False) -> Secret:
        """Insert; raise AlreadyExists (id; ``unique_name``: name), QuotaExceeded beyond ``most``, NotFound (project).

        Of those who create at once, nobody gets beyond ``most``, nor the same unique name.
        """

    async def get_secret(self, project_id: str, secret_id: str) -> Secret:
        """Return; raise NotFound."""

    async def find_secret(self, project_id: str, name: str) -> Secret | None:
        """Return the newest of a name; None if there is none."""

    async def list_secrets(
        self,
        project_id: str,
        page_size: int,
        page_token: str = "",
        *,
        face: str | None = None,
        after: tuple[int, str] | None = None,
    ) -> Page[Secret]:
        """Return a page (of those of a face), newest first; raise InvalidArgument for a token that is not ours.

        ``after``: creation and id of what the first page begins after; it need not exist.
        """

    async def update_secret(
        self, project_id: str, secret_id: str, *, name: str | None = None, value: tuple[str, int] | None = None
    ) -> Secret:
        """Write a name, a value (sealed, and when it came), or both; raise NotFound."""

    async def delete_secret(self, project_id: str, secret_id: str) -> None:
        """Delete; raise NotFound."""

    async def sealed_secrets(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the sealed values of those that exist, by their ids."""


class SealedStore(Protocol):
    """What is sealed, of all projects: for who seals it anew. Never for who asks on behalf of a caller."""

    async def all_sealed_secrets(self, after: SealedSecret | None, rows: int) -> Sequence[SealedSecret]:
        """Return secrets in the order of project and id, those behind ``after``."""

    async def all_sealed_versions(self, after: SealedVersion | None, rows: int) -> Sequence[SealedVersion]:
        """Return versions with an egress policy or secrets of their own, in the order in which they were made."""

    async def reseal(self, changes: Sequence[tuple[Sealed, Sealed]]) -> int:
        """Put the second of each pair in the place of the first, unless that is not what is there any more.

        Returns how many were; all in one transaction.
        """


class RegistryStore(Protocol):
    """Packages, versions and their source bundles."""

    async def create_package(self, package: Package) -> Package:
        """Insert; raise AlreadyExists (id or alias: ``resource_name`` tells), NotFound (project)."""

    async def update_package(self, package: Package) -> Package:
        """Replace all but ids, face and creation; raise NotFound, AlreadyExists (alias)."""

    async def exchange_package(self, package: Package, face_data: bytes | None) -> Package | None:
        """Do the same if it still has that ``face_data``, else return None; raise NotFound, AlreadyExists (alias)."""

    async def get_package(self, project_id: str, package_id: str) -> Package:
        """Return; raise NotFound."""

    async def find_package(self, project_id: str, face: str, alias: str) -> Package:
        """Return the package that a face knows by another id; raise NotFound."""

    async def list_packages(
        self, project_id: str, page_size: int, page_token: str = "", *, face: str | None = None
    ) -> Page[Package]:
        """Return a page, newest first, of one face if named; raise InvalidArgument for a token that is not ours."""

    async def packages_after(
        self, project_id: str, face: str, after: tuple[int, str] | None, most: int
    ) -> Sequence[Package]:
        """Return packages of a face, newest first, that come after a place: creation time and id, there or not."""

    async def create_with_version(self, package: Package, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert a package and its first version, both or neither; raise AlreadyExists, NotFound (project)."""

    async def revise(
        self,
        package: Package,
        texts: Mapping[str, str],
        *,
        after: Version | None = None,
        version: Version | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Package | None:
        """Set display name or description (those in ``texts``) and ``updated_at``, and add a version; both or neither.

        ``package``: which one, and when. None, and nothing was written: ``after`` is no longer the version that was
        made last, or not in that state. Raise NotFound (package), AlreadyExists (version).
        """

    async def latest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the version that was made last, whatever its state; None without versions. Raise NotFound."""

    async def list_of_face(
        self, project_id: str, face: str, offset: int, most: int
    ) -> tuple[int, Sequence[tuple[Package, Version | None]]]:
        """Return how many packages a face has, and some with the version made last, newest first, from an offset on."""

    async def delete_package(self, project_id: str, package_id: str) -> None:
        """Delete with its versions; its executions stay. Raise NotFound."""

    async def create_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert with its files (content-addressed); raise AlreadyExists, NotFound (package)."""

    async def put_version(self, version: Version, files: Mapping[str, bytes]) -> Version:
        """Insert, or replace one that is not RELEASED (faces' working versions).

        Raise NotFound (package), AlreadyExists(VERSION_RELEASED).
        """

    async def swap_version(self, version: Version, files: Mapping[str, bytes], old: Version) -> Version | None:
        """Replace exactly ``old``, as it was read; None: it was changed since.

        Raise NotFound (package or version), AlreadyExists(VERSION_RELEASED).
        """

    async def set_version_state(
        self,
        project_id: str,
        package_id: str,
        version_id: str,
        state: VersionState,
        *,
        error: str | None = None,
        released_at: int | None = None,
    ) -> Version:
        """Move a version on; raise NotFound, and AlreadyExists(VERSION_RELEASED) for one that is released."""

    async def finish_analysis(self, version: Version) -> bool:
        """Write functions, state, error and ``released_at`` of a version, if it is still ANALYSING this very source.

        False: it is gone, was replaced, or somebody else was quicker.
        """

    async def analysing_versions(self, limit: int) -> tuple[Version, ...]:
        """Return versions of all projects that are ANALYSING, oldest first: for who starts, or looks after others."""

    async def get_version(self, project_id: str, package_id: str, version_id: str) -> Version:
        """Return; raise NotFound (package or version)."""

    async def newest_version(self, project_id: str, package_id: str) -> Version | None:
        """Return the newest RELEASED, else the newest READY, else the newest of any state; None without versions.

        Raise NotFound for an unknown package. Newest is by creation, ties by insertion.
        """

    async def list_versions(
        self, project_id: str, package_id: str, page_size: int, page_token: str = ""
    ) -> Page[Version]:
        """Return a page, newest first; raise NotFound (package), InvalidArgument (token)."""

    async def with_warm_policy(self) -> Sequence[tuple[str, str]]:
        """Return project and package of all versions with a warm policy of their own. Crosses projects."""

    async def delete_version(self, project_id: str, package_id: str, version_id: str) -> None:
        """Delete one version; raise NotFound."""

    async def get_bundle(self, project_id: str, digest: str) -> Mapping[str, bytes]:
        """Return the files of a bundle; raise NotFound."""


class FaceStore(Protocol):
    """What the vendors' contracts have that is neither package nor run."""

    async def create_object(self, made: FaceObject, most: int | None = None) -> FaceObject:
        """Insert; raise AlreadyExists (id or alias: ``resource_name`` tells), NotFound (project).

        QuotaExceeded: the project has ``most`` of its kind.
        """

    async def get_object(self, project_id: str, face: str, kind: str, object_id: str) -> FaceObject:
        """Return; raise NotFound."""

    async def find_object(self, project_id: str, face: str, kind: str, alias: str) -> FaceObject:
        """Return the one with an alias; raise NotFound."""

    async def put_object(self, changed: FaceObject) -> FaceObject | None:
        """Replace alias, ``updated_at``, data and blob of one that is still at ``revision``, which rises by one.

        None: it was changed since it was read, or is gone. Raises AlreadyExists (alias).
        """

    async def delete_object(self, project_id: str, face: str, kind: str, object_id: str) -> None:
        """Delete; raise NotFound."""

    async def list_objects(
        self, project_id: str, face: str, kind: str, page_size: int, page_token: str = ""
    ) -> Page[FaceObject]:
        """Return a page, newest first; raise InvalidArgument for a token that is not ours."""

    async def objects_of_kind(self, face: str, kind: str, most: int) -> Sequence[FaceObject]:
        """Return objects, oldest first. Crosses projects: for who goes on with what an earlier server has begun."""

    async def keep_blob(self, project_id: str, data: bytes) -> str:
        """Keep something large and return its digest; a sweep takes it if no object refers to it within a day."""

    async def get_blob(self, project_id: str, digest: str) -> bytes | None:
        """Return a blob of a project; None if there is none."""


class NodeStore(Protocol):
    """Servers that share a database. A node is one boot of one of them; all times are of the database's clock."""

    async def join(self, node: str, replica: str) -> None:
        """Take part. An earlier node of the same replica is known to be dead."""

    async def beat(self, node: str, replica: str, lease_ms: int) -> Beat:
        """Say that a node lives; return who else does, by their last heartbeat, and what it owns."""

    async def leave(self, node: str) -> None:
        """Take part no more; harmless twice."""

    async def reap(self, error: ExecutionError, lease_ms: int) -> Mapping[ExecutionState, int]:
        """As ``recover``, for what belongs to nodes that have not said for ``lease_ms`` that they live."""


class RetentionStore(Protocol):
    """What is kept no longer."""

    async def oldest_kept(self, project_id: str, most: int) -> uuid.UUID | None:
        """Return the id of the oldest of a project's newest ``most`` executions; None if there are no more."""

    async def prune_executions(self, project_id: str, before: uuid.UUID | int, most: int) -> int:
        """Delete up to ``most`` ended executions older than an id, or a time in ms, with output; return how many."""

    async def prune_sessions(self, project_id: str, before_ms: int, most: int) -> int:
        """Delete up to ``most`` sessions that ended before a time; return how many."""

    async def sweep_blobs(self, after: BlobPlace | None, most: int) -> tuple[BlobPlace | None, int]:
        """Look at ``most`` blobs of all projects from a place on; delete what nothing refers to and is a day old.

        Returns the place to go on from, None at the end, and how many were deleted.
        """


class EntryStore(Protocol):
    """Values that code keeps, by project, space and key. ``now``: what has expired by then is not there any more."""

    async def get_entry(self, project_id: str, place: tuple[str, str], now: int) -> Entry | None:
        """Return what is kept at a place: space and key."""

    async def entry_keys(
        self, project_id: str, space: str, after: str, now: int, rows: int
    ) -> Sequence[tuple[str, int]]:
        """Return keys of a space in their order, after a key, at most so many, each with the size of its entry."""

    async def get_entries(
        self, project_id: str, space: str, keys: Sequence[str], now: int
    ) -> Sequence[tuple[str, Entry]]:
        """Return what is kept under some keys of a space; of sorted keys, in their order."""

    async def change_entries(
        self,
        project_id: str,
        places: Sequence[tuple[str, str]],
        change: Callable[[Sequence[Entry | None]], Sequence[Entry | None]],
        now: int,
        quota: EntryQuota,
    ) -> None:
        """Replace what is kept at some places by what ``change`` returns for it, None: nothing; all at once.

        ``change`` may run twice. Changes of a project follow each other. Raises QuotaExceeded, for growth alone, and
        what ``change`` raises: nothing is changed then.
        """

    async def purge_entries(self, project_id: str, now: int) -> int:
        """Delete what has expired; return how many."""


class RuntimeStore(Protocol):
    """Runtimes and their revisions."""

    async def create_runtime(self, runtime: Runtime, revision: RuntimeRevision | None = None) -> Runtime:
        """Insert, with its first revision in the same transaction; raise AlreadyExists (either), NotFound (project)."""

    async def get_runtime(self, project_id: str, runtime_id: str) -> Runtime:
        """Return; raise NotFound."""

    async def list_runtimes(self, project_id: str, page_size: int, page_token: str = "") -> Page[Runtime]:
        """Return a page, newest first; raise InvalidArgument for a token that is not ours."""

    async def runtimes_after(
        self, project_id: str, after: tuple[int, str] | None, most: int
    ) -> Sequence[tuple[Runtime, RuntimeRevision]]:
        """Return runtimes that have a revision, with the newest (no log), newest first, after a creation time and id.

        Nothing need be there at that place.
        """

    async def delete_runtime(self, project_id: str, runtime_id: str) -> None:
        """Delete with its revisions; raise NotFound."""

    async def versions_with_runtime(self, project_id: str, runtime_id: str, most: int) -> Sequence[str]:
        """Return the names of versions, at most ``most``, that run on a revision of a runtime; oldest first."""

    async def create_revision(self, revision: RuntimeRevision) -> RuntimeRevision:
        """Insert; raise AlreadyExists, NotFound (runtime)."""

    async def get_revision(self, project_id: str, runtime_id: str, revision_id: str) -> RuntimeRevision:
        """Return; raise NotFound (runtime or revision)."""

    async def find_revision(self, project_id: str, revision_id: str) -> RuntimeRevision | None:
        """Return the revision of any runtime of the project; None if there is none."""

    async def newest_revision(
        self, project_id: str, runtime_id: str, state: RevisionState | None = None
    ) -> RuntimeRevision | None:
        """Return the newest, or the newest of a state; None if there is none. Raise NotFound (runtime)."""

    async def list_revisions(
        self, project_id: str, runtime_id: str, page_size: int, page_token: str = ""
    ) -> Page[RuntimeRevision]:
        """Return a page, newest first, without logs; raise NotFound (runtime), InvalidArgument (token)."""

    async def change_revision(self, revision: RuntimeRevision, states: Sequence[RevisionState]) -> bool:
        """Write state, times, digest, sizes, preload, log and error of a revision that is in one of ``states``.

        False: it is in none of them, or gone; nothing was written.
        """

    async def unfinished_revisions(self) -> Sequence[RuntimeRevision]:
        """Return what is PENDING or BUILDING, oldest first. Crosses projects."""

    async def digests(self) -> frozenset[str]:
        """Return the digests of all revisions. Crosses projects."""


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


class ExecutionStore(Protocol):
    """Execution records, and the queue that they are."""

    def record(self, execution: Execution) -> None:
        """Take a synchronous execution (finished, or still RUNNING after a second) for the next flush. Never waits.

        An end takes the place of RUNNING and is never replaced. Of two with one request id the first keeps it.
        """

    async def settle(self, project_id: str, execution_id: uuid.UUID) -> bool:
        """Write a record now that another process looks for; False if it is not in the buffer."""

    async def settle_alias(self, project_id: str, face: str, alias: str) -> bool:
        """Write a record now that another process looks for by its alias; False if it is not in the buffer."""

    async def enqueue(self, execution: Execution, *, delay_ms: int = 0) -> Execution:
        """Commit a QUEUED (or, with an owner, RUNNING) execution before returning.

        Returns the stored one; if the project already has one with that ``request_id``, the first one instead.
        Raise AlreadyExists for a taken (face, alias).
        """

    async def get(self, project_id: str, execution_id: uuid.UUID) -> Execution:
        """Return, from the record buffer or the store; raise NotFound. A miss younger than two flushes looks again."""

    async def find_alias(self, project_id: str, face: str, alias: str) -> Execution:
        """Return the execution a face knows by another id; raise NotFound."""

    async def find_request(self, project_id: str, request_id: str) -> Execution | None:
        """Return the execution that a request id made, buffered ones too."""

    async def list(
        self, project_id: str, where: ExecutionFilter, page_size: int, page_token: str = "", *, ascending: bool = False
    ) -> Page[Execution]:
        """Return a page without inputs, results and output, newest first (or oldest first).

        Raise InvalidArgument (token).
        """

    async def due(self) -> Sequence[str]:
        """Return the projects that have something QUEUED. Crosses projects, for the dispatcher."""

    async def claim(self, owner: str, wanted: Mapping[str, int]) -> Sequence[Execution]:
        """Take up to so many due QUEUED ones of each project: RUNNING, attempt + 1, owner; with input and spec.

        Within a project in the order of their ids, which is that of acceptance.
        """

    async def finish(self, execution: Execution, *, owner: str) -> bool:
        """Write the end of a claimed execution.

        False: fenced off (another owner, another attempt, or a final state); drop it.
        """

    async def append_output(self, execution_id: uuid.UUID, attempt: int, chunks: Sequence[OutputChunk]) -> None:
        """Append output of a running Call; raise NotFound."""

    async def output(self, project_id: str, execution_id: uuid.UUID) -> tuple[OutputChunk, ...]:
        """Return the output chunks of the current attempt, in order; raise NotFound."""

    async def request_cancel(self, project_id: str, execution_id: uuid.UUID, now_ms: int) -> Execution:
        """QUEUED -> CANCELLED (error EXECUTION_CANCELLED); RUNNING: set ``cancel_requested``; final: unchanged.

        Raise NotFound.
        """

    async def cancelled(self, owner: str) -> Sequence[uuid.UUID]:
        """Return the RUNNING ones of an owner whose cancel was requested."""

    async def expire(self, now_ms: int, error: ExecutionError) -> int:
        """QUEUED past their deadline -> TIMEOUT with that error; returns how many."""

    async def reserve(self, execution: Execution) -> Execution | None:
        """Commit a RUNNING synchronous execution before it runs: where others may get the same request id.

        Returns it, or the earlier one of its project and request id; None if that has let go of the id meanwhile.
        """

    async def recover(self, error: ExecutionError, living: Sequence[str] = ()) -> Mapping[ExecutionState, int]:
        """At boot of the embedded store: every RUNNING row is of an earlier boot, but for those of living owners.

        To QUEUED if attempts are left, else FAILED with ``error`` (CANCELLED if that was requested; synchronous ones
        are never queued). Returns counts.
        """

    async def release(self, owner: str, only: Sequence[uuid.UUID] | None = None) -> int:
        """Hand claimed but unfinished ones (of these) with attempts left back to the queue; returns how many."""

    async def waiting(self, project_id: str, most: int) -> int:
        """Return how many of a project are QUEUED, due or not; counting stops at ``most``."""

    async def backlog(self) -> int:
        """Return how many are QUEUED and due."""

    async def flush(self) -> None:
        """Write the record buffer now."""


class Store(
    TenancyStore,
    SessionStore,
    SecretStore,
    SealedStore,
    RegistryStore,
    FaceStore,
    EntryStore,
    RuntimeStore,
    ScheduleStore,
    ExecutionStore,
    NodeStore,
    RetentionStore,
    Protocol,
):
    """Everything, with a life of its own."""

    async def start(self) -> None:
        """Migrate, open, start the writer."""

    async def stop(self) -> None:
        """Flush, close."""

    async def ping(self) -> None:
        """Raise Unavailable if the database is away."""
