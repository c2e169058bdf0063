"""What is needed of the store for runtimes and their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polycall.domain import RevisionState, Runtime, RuntimeRevision
from polycall.store.protocol.pages import Page

__all__ = ["RuntimeStore"]


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

    async def delete_runtime(self, project_id: str, runtime_id: str, *, unless: int = 0) -> Sequence[str]:
        """Delete with its revisions; raise NotFound.

        ``unless`` versions run on it: then nothing is deleted, and the names of as many are returned, oldest first.
        0: whatever runs on it.
        """

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
