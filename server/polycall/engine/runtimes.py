"""Runtimes as callers see them: made, listed, deleted, and looked up for what runs on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from polycall.domain import (
    IsolationLevel,
    Language,
    Principal,
    Reason,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Scope,
)
from polycall.engine.builds import Builds
from polycall.engine.keys import require
from polycall.engine.renewals import CACHE_S, Renewals
from polycall.engine.siblings import ALONE, RuntimeDeleted, Siblings
from polycall.engine.tasks import through
from polycall.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    IsolationUnavailable,
    NotFound,
    RuntimeMissing,
)
from polycall.ids import new_id, now_ms
from polycall.names import NEWEST, RUNTIME_RULE, RevisionName, RuntimeName, is_runtime_id
from polycall.quick import dataclass
from polycall.runtimes.manifest import kind_for, parse_imports, parse_manifest
from polycall.sandbox.image import Image
from polycall.store.protocol import Page, RuntimeStore

__all__ = ["RevisionDraft", "Runtimes"]

_LONGEST_TEXT = 4096  # characters of a display name, as packages have it
_POLL_S = 0.5  # how often a build of another process is looked at while somebody waits for it
_MOST_CACHED = 1000
_FETCH_S = 30.0  # how long a run waits for an environment of another server: 512 MiB in some ten seconds
_NAMED = 5  # of the versions that keep a runtime from being deleted, so many are named
# What a version or a request may call the server's own runtime of a language.
_DEFAULTS = frozenset({"", *Language})


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionDraft:
    """A revision to be. ``id`` "" is one of ours."""

    manifest: str
    additional_imports: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class _Cached:
    revision: RuntimeRevision
    until: float  # time.monotonic


class Runtimes:
    """Runtimes of all projects. ``isolation`` tells the level at which code runs here."""

    def __init__(
        self,
        store: RuntimeStore,
        builds: Builds,
        isolation: Callable[[], IsolationLevel],
        siblings: Siblings = ALONE,
        renewals: Renewals | None = None,
    ) -> None:
        self._store = store
        self._renewals = renewals or Renewals()
        self._siblings = siblings
        self._builds = builds
        self._isolation = isolation
        self._ready: dict[tuple[str, str, str], _Cached] = {}
        self._changes = 0  # how often something was forgotten

    # runtimes

    async def create(
        self, who: Principal, runtime: Runtime, draft: RevisionDraft | None, *, validate_only: bool = False
    ) -> tuple[Runtime, RuntimeRevision | None]:
        """Create a runtime and, with a draft, its first revision, PENDING.

        Raises PermissionDenied, InvalidArgument, AlreadyExists, IsolationUnavailable, QueueFull.
        """
        require(who, Scope.DEPLOY)
        wrong = []
        if runtime.id and not is_runtime_id(runtime.id):
            wrong.append(FieldViolation("runtime_id", RUNTIME_RULE))
        if len(runtime.display_name) > _LONGEST_TEXT:
            wrong.append(FieldViolation("runtime.display_name", f"must have at most {_LONGEST_TEXT} characters"))
        if wrong:
            raise InvalidArgument(wrong)
        language = Language.PYTHON if runtime.language is Language.PYTHON else Language.JAVASCRIPT
        made = replace(
            runtime,
            project_id=who.project_id,
            id=runtime.id or str(new_id()),
            language=language,
            created_at=now_ms(),
            created_by=who.key_id,
        )
        revision = self._drafted(who, made, draft) if draft is not None else None
        if not validate_only:
            await through(self._keep(made, revision))
        return made, revision

    async def get(self, who: Principal, runtime_id: str) -> tuple[Runtime, RuntimeRevision | None]:
        """Return a runtime and its newest revision, if it has one. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        runtime = await self._store.get_runtime(who.project_id, runtime_id)
        return runtime, await self._newest(runtime)

    async def list(
        self, who: Principal, page_size: int, page_token: str = ""
    ) -> Page[tuple[Runtime, RuntimeRevision | None]]:
        """Return a page with newest revisions, newest first. Raises PermissionDenied, InvalidArgument (token)."""
        require(who, Scope.READ)
        page = await self._store.list_runtimes(who.project_id, page_size, page_token)
        return Page(tuple([(runtime, await self._newest(runtime)) for runtime in page.items]), page.next_token)

    async def after(
        self, who: Principal, place: tuple[int, str] | None, most: int
    ) -> Sequence[tuple[Runtime, RuntimeRevision]]:
        """Return runtimes that have a revision, with the newest, newest first, after a place: ``created_at`` and id.

        For contracts whose lists go on from an id; it need not be there any more. Raises PermissionDenied.
        """
        require(who, Scope.READ)
        found = await self._store.runtimes_after(who.project_id, place, most)
        return [(runtime, self._builds.live(newest)) for runtime, newest in found]

    async def delete(self, who: Principal, runtime_id: str, *, force: bool = False) -> None:
        """Delete a runtime and its revisions; builds end. ``force``: though versions run on it, which cannot then.

        Raises PermissionDenied, NotFound, FailedPrecondition (RUNTIME_IN_USE).
        """
        require(who, Scope.DEPLOY)
        name = str(RuntimeName(runtime_id))
        using = await through(self._delete(who.project_id, runtime_id, 0 if force else _NAMED + 1))
        if using:
            more = ", ..." if len(using) > _NAMED else ""
            raise FailedPrecondition(
                f"{name} is used by {', '.join(using[:_NAMED])}{more}. Delete these first, or force the deletion: "
                "they can no longer be run then.",
                subject=name,
                reason=Reason.RUNTIME_IN_USE,
                metadata={"runtime": name, "versions": ",".join(using[:_NAMED])},
            )

    # revisions

    async def create_revision(
        self, who: Principal, runtime_id: str, draft: RevisionDraft, *, validate_only: bool = False
    ) -> RuntimeRevision:
        """Create a revision, PENDING; it is built in the background.

        Raises PermissionDenied, NotFound, InvalidArgument, AlreadyExists, IsolationUnavailable, QueueFull.
        """
        require(who, Scope.DEPLOY)
        runtime = await self._store.get_runtime(who.project_id, runtime_id)
        revision = self._drafted(who, runtime, draft)
        if not validate_only:
            await through(self._keep(None, revision))
        return revision

    async def get_revision(self, who: Principal, runtime_id: str, revision_id: str) -> RuntimeRevision:
        """Return a revision with its log so far; "-" is the newest. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return self._builds.live(await self._revision(who.project_id, RevisionName(runtime_id, revision_id)))

    async def find_revision(self, who: Principal, revision_id: str) -> RuntimeRevision:
        """Return a revision by its id alone. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        found = await self._store.find_revision(who.project_id, revision_id)
        if found is None:
            raise NotFound(Reason.RUNTIME_NOT_FOUND, "polycall.v1.RuntimeRevision", f"revisions/{revision_id}")
        return self._builds.live(found)

    async def list_revisions(
        self, who: Principal, runtime_id: str, page_size: int, page_token: str = ""
    ) -> Page[RuntimeRevision]:
        """Return a page, newest first, without logs. Raises PermissionDenied, NotFound, InvalidArgument (token)."""
        require(who, Scope.READ)
        return await self._store.list_revisions(who.project_id, runtime_id, page_size, page_token)

    async def wait_revision(
        self, who: Principal, runtime_id: str, revision_id: str, timeout_s: float
    ) -> RuntimeRevision:
        """Return a revision once its build has ended, or as it is after ``timeout_s``. Raises as ``get_revision``."""
        until = time.monotonic() + timeout_s
        revision = await self.get_revision(who, runtime_id, revision_id)
        while not revision.state.final and (left_s := until - time.monotonic()) > 0:
            if self.builds(who.project_id, revision.id):
                await self._builds.ended(revision, left_s)
            else:  # another process has it
                await asyncio.sleep(min(left_s, _POLL_S))
            revision = await self.get_revision(who, runtime_id, revision.id)
        return revision

    # for what runs

    async def pinned(self, project_id: str, runtime: str, language: Language) -> str:
        """Return the name of the revision that a version's ``runtime`` means now; "" for the server's own.

        Raises InvalidArgument, NotFound, RuntimeMissing (not ready, another language).
        """
        if runtime in _DEFAULTS:
            return ""
        name = RevisionName.parse(runtime, "runtime")
        revision = await self._usable(project_id, name, language)
        return str(RevisionName(revision.runtime_id, revision.id))

    async def image(self, project_id: str, runtime: str, language: Language) -> Image:
        """Return what a process must be made of to run on a revision. Raises as ``pinned``."""
        key = (project_id, runtime, language)
        cached = self._ready.get(key)
        if (
            cached is None
            or cached.until <= time.monotonic()
            or not await self._builds.builder.use(cached.revision)  # gone since, for another one
        ):
            cached = await self._looked_up(key)
        else:
            self._renewals.use(key, cached.until, lambda: self._looked_up(key))
        return self._builds.builder.image(cached.revision)

    # within

    async def _looked_up(self, key: tuple[str, str, Language]) -> _Cached:
        project_id, runtime, language = key
        changes = self._changes
        revision = await self._usable(project_id, RevisionName.parse(runtime, "runtime"), language)
        cached = _Cached(revision, time.monotonic() + CACHE_S)
        if changes == self._changes:  # else what was read may be older than the change
            self._ready[key] = cached
            if len(self._ready) > _MOST_CACHED:
                del self._ready[next(iter(self._ready))]
        return cached

    def _drafted(self, who: Principal, runtime: Runtime, draft: RevisionDraft) -> RuntimeRevision:
        wrong: list[FieldViolation] = []
        kind = kind_for(runtime.language)
        for check in (
            lambda: parse_manifest(kind, draft.manifest, "revision.manifest"),
            lambda: parse_imports(draft.additional_imports, "revision.additional_imports"),
        ):
            try:
                check()
            except InvalidArgument as error:
                wrong += error.violations
        if draft.additional_imports and runtime.language is not Language.PYTHON:
            wrong.append(FieldViolation("revision.additional_imports", "is for Python only"))
        if draft.id and not is_runtime_id(draft.id):
            wrong.append(FieldViolation("revision_id", RUNTIME_RULE))
        if wrong:
            raise InvalidArgument(wrong)
        self._check_machine(IsolationLevel.CONTAINED, "built")
        self._builds.check_room(who.project_id)
        return RuntimeRevision(
            project_id=who.project_id,
            runtime_id=runtime.id,
            id=draft.id or str(new_id()),
            language=runtime.language,
            manifest_kind=kind,
            manifest=draft.manifest,
            state=RevisionState.PENDING,
            created_at=now_ms(),
            additional_imports=draft.additional_imports,
            created_by=who.key_id,
        )

    def _check_machine(self, least: IsolationLevel, what: str) -> None:
        """Raise IsolationUnavailable below a level: tools fork, which takes a cgroup; packages are mounted."""
        level = self._isolation()
        if level < least:
            raise IsolationUnavailable(
                f"Runtimes are {what} at isolation level {int(least)} and above; this machine offers {int(level)}. "
                "`polycall doctor` says what is missing.",
                subject="isolation",
                metadata={"level": str(int(level)), "floor": str(int(least))},
            )

    async def _keep(self, runtime: Runtime | None, revision: RuntimeRevision | None) -> None:
        if runtime is not None:
            await self._store.create_runtime(runtime, revision)
        elif revision is not None:
            await self._store.create_revision(revision)
        if revision is not None:
            await self._builds.submit(revision)

    async def _delete(self, project_id: str, runtime_id: str, unless: int) -> Sequence[str]:
        using = await self._store.delete_runtime(project_id, runtime_id, unless=unless)
        if not using:
            self.forget(project_id, runtime_id)
            await self._siblings.tell(RuntimeDeleted(project_id, runtime_id))
        return using

    def builds(self, project_id: str, revision_id: str) -> bool:
        """Whether a revision is being built here, or waits for that."""
        return self._builds.has(project_id, revision_id)

    def forget(self, project_id: str, runtime_id: str) -> None:
        """Go by the database for a runtime that was deleted, here or elsewhere; its builds end."""
        self._changes += 1
        self._builds.forget(project_id, runtime_id)
        for key in [key for key, cached in self._ready.items() if key[0] == project_id]:
            if self._ready[key].revision.runtime_id == runtime_id:
                del self._ready[key]

    def forget_all(self) -> None:
        """Go by the database for every runtime: one may have been deleted elsewhere."""
        self._changes += 1
        self._ready.clear()

    async def _newest(self, runtime: Runtime) -> RuntimeRevision | None:
        newest = await self._store.newest_revision(runtime.project_id, runtime.id)
        return self._builds.live(newest) if newest is not None else None

    async def _revision(
        self, project_id: str, name: RevisionName, state: RevisionState | None = None
    ) -> RuntimeRevision:
        if name.revision != NEWEST:
            return await self._store.get_revision(project_id, name.runtime, name.revision)
        newest = await self._store.newest_revision(project_id, name.runtime, state)
        if newest is None and state is not None:
            newest = await self._store.newest_revision(project_id, name.runtime)  # to say how far that one is
        if newest is None:
            runtime = str(RuntimeName(name.runtime))
            raise NotFound(
                Reason.RUNTIME_NOT_FOUND,
                "polycall.v1.RuntimeRevision",
                str(name),
                f"{runtime} has no revision yet.",
            )
        return newest

    async def _usable(self, project_id: str, name: RevisionName, language: Language) -> RuntimeRevision:
        self._check_machine(IsolationLevel.NAMESPACED, "used")
        revision = await self._revision(project_id, name, RevisionState.READY)
        shown = str(RevisionName(revision.runtime_id, revision.id))
        wanted = Language.PYTHON if language is Language.PYTHON else Language.JAVASCRIPT
        if revision.language is not wanted:
            raise RuntimeMissing(
                f"{shown} is a runtime of {revision.language}; the code is {language}.",
                subject=shown,
                metadata={"runtime": shown, "language": language.value},
            )
        if revision.state is not RevisionState.READY:
            why = f": {revision.error}" if revision.error else "; wait until it is READY"
            raise _missing(shown, revision.state, f"{shown} is {revision.state.name}{why}.")
        if not await self._obtained(revision, shown):
            # the data directory was changed by hand, or it was built on another machine and could not be shared
            again = replace(revision, state=RevisionState.PENDING, started_at=None, ended_at=None, preload=())
            if await self._store.change_revision(again, [RevisionState.READY]):
                await self._builds.submit(again)
            raise _missing(
                shown, again.state, f"{shown} is not on this server and is being built again; try again soon."
            )
        return revision

    async def _obtained(self, revision: RuntimeRevision, shown: str) -> bool:
        """See to it that the environment of a revision is here; False: it is nowhere. Raises RuntimeMissing."""
        try:
            async with asyncio.timeout(_FETCH_S):
                return await self._builds.builder.obtain(revision)
        except TimeoutError:
            words = f"{shown} is still being fetched from what another server has built; try again soon."
            raise _missing(shown, revision.state, words) from None
        except OSError as error:
            words = f"{shown} could not be put on this server's disk: {error.strerror or error}."
            raise _missing(shown, revision.state, f"{words} Its operator has to see to that.") from None


def _missing(name: str, state: RevisionState, message: str) -> RuntimeMissing:
    return RuntimeMissing(message, subject=name, metadata={"runtime": name, "state": state.value})
