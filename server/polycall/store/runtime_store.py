"""What code runs with: runtimes and their revisions."""

from __future__ import annotations

from collections.abc import Sequence

from polycall.domain import RevisionState, Runtime, RuntimeRevision
from polycall.store import runtimes
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page
from polycall.store.quota import StorageQuota

__all__ = ["SqlRuntimes"]


class SqlRuntimes:
    """See ``polycall.store.protocol.RuntimeStore``."""

    def __init__(self, executor: Executor, quota: StorageQuota) -> None:
        self._executor = executor
        self._quota = quota

    async def create_runtime(self, runtime: Runtime, revision: RuntimeRevision | None = None) -> Runtime:
        """Insert, with its first revision; raise AlreadyExists, NotFound (project), QuotaExceeded, Unavailable."""
        await self._executor.write(self._quota.within, runtime.project_id, runtimes.create_runtime, runtime, revision)
        return runtime

    async def get_runtime(self, project_id: str, runtime_id: str) -> Runtime:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(runtimes.get_runtime, project_id, runtime_id)

    async def list_runtimes(self, project_id: str, page_size: int, page_token: str = "") -> Page[Runtime]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("runtimes", project_id)
        after = read_token(scope, page_token, runtimes.Place.parse)
        found = await self._executor.read(runtimes.list_runtimes, project_id, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def runtimes_after(
        self, project_id: str, after: tuple[int, str] | None, most: int
    ) -> Sequence[tuple[Runtime, RuntimeRevision]]:
        """Return runtimes that have a revision, with the newest, newest first, after a place. Raises Unavailable."""
        place = runtimes.Place(*after) if after is not None else None
        return await self._executor.read(runtimes.runtimes_after, project_id, place, most)

    async def delete_runtime(self, project_id: str, runtime_id: str, *, unless: int = 0) -> Sequence[str]:
        """Delete with its revisions, unless versions run on it; see the protocol. Raises NotFound, Unavailable."""
        return await self._executor.write(runtimes.delete_runtime, project_id, runtime_id, unless)

    async def create_revision(self, revision: RuntimeRevision) -> RuntimeRevision:
        """Insert; raise AlreadyExists, NotFound (runtime), QuotaExceeded, Unavailable."""
        try:
            await self._executor.write(self._quota.within, revision.project_id, runtimes.create_revision, revision)
        except Conflict:  # the runtime went away after it was looked for
            raise runtimes.no_runtime(revision.runtime_id) from None
        return revision

    async def get_revision(self, project_id: str, runtime_id: str, revision_id: str) -> RuntimeRevision:
        """Return; raise NotFound (runtime or revision), Unavailable."""
        return await self._executor.read(runtimes.get_revision, project_id, runtime_id, revision_id)

    async def find_revision(self, project_id: str, revision_id: str) -> RuntimeRevision | None:
        """Return the revision of any runtime of the project; None if there is none. Raises Unavailable."""
        return await self._executor.read(runtimes.find_revision, project_id, revision_id)

    async def newest_revision(
        self, project_id: str, runtime_id: str, state: RevisionState | None = None
    ) -> RuntimeRevision | None:
        """Return the newest (of a state), None if there is none; raise NotFound (runtime), Unavailable."""
        return await self._executor.read(runtimes.newest_revision, project_id, runtime_id, state)

    async def list_revisions(
        self, project_id: str, runtime_id: str, page_size: int, page_token: str = ""
    ) -> Page[RuntimeRevision]:
        """Return a page, newest first, without logs; raise NotFound (runtime), InvalidArgument (token), Unavailable."""
        scope = ("revisions", project_id, runtime_id)
        after = read_token(scope, page_token, runtimes.Place.parse)
        found = await self._executor.read(runtimes.list_revisions, project_id, runtime_id, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def change_revision(self, revision: RuntimeRevision, states: Sequence[RevisionState]) -> bool:
        """Write what a build changes of a revision in one of ``states``; False if it is in none, or gone."""
        return await self._executor.write(runtimes.change_revision, revision, tuple(states))

    async def unfinished_revisions(self) -> Sequence[RuntimeRevision]:
        """Return what is PENDING or BUILDING in all projects, oldest first. Raises Unavailable."""
        return await self._executor.read(runtimes.unfinished_revisions)

    async def digests(self) -> frozenset[str]:
        """Return the digests of all revisions of all projects. Raises Unavailable."""
        return await self._executor.read(runtimes.digests)
