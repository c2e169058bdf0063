"""What is needed of the store for what the vendors' contracts have beside packages and runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polycall.domain import FaceObject
from polycall.store.protocol.pages import Page

__all__ = ["FaceStore"]


class FaceStore(Protocol):
    """What the vendors' contracts have that is neither package nor run."""

    async def create_object(self, made: FaceObject, most: int | None = None) -> FaceObject:
        """Insert; raise AlreadyExists (id or alias: ``resource_name`` tells), NotFound (project).

        QuotaExceeded: the project has ``most`` of its kind, or stores as much as it may.
        """

    async def get_object(self, project_id: str, face: str, kind: str, object_id: str) -> FaceObject:
        """Return; raise NotFound."""

    async def find_object(self, project_id: str, face: str, kind: str, alias: str) -> FaceObject:
        """Return the one with an alias; raise NotFound."""

    async def put_object(self, changed: FaceObject, content: bytes | None = None) -> FaceObject | None:
        """Replace alias, ``updated_at``, data and blob of one that is still at ``revision``, which rises by one.

        ``content``: what its blob shall be, kept with it. None: it was changed since it was read, or is gone. Raises
        AlreadyExists (alias), QuotaExceeded (what the project may store).
        """

    async def delete_object(self, project_id: str, face: str, kind: str, object_id: str) -> None:
        """Delete; raise NotFound."""

    async def some_objects(self, project_id: str, face: str, kind: str, ids: Sequence[str]) -> Sequence[FaceObject]:
        """Return those that are there of some ids, in any order."""

    async def list_objects(
        self, project_id: str, face: str, kind: str, page_size: int, page_token: str = ""
    ) -> Page[FaceObject]:
        """Return a page, newest first; raise InvalidArgument for a token that is not ours."""

    async def objects_of_kind(self, face: str, kind: str, most: int) -> Sequence[FaceObject]:
        """Return objects, oldest first. Crosses projects: for who goes on with what an earlier server has begun."""

    async def get_blob(self, project_id: str, digest: str) -> bytes | None:
        """Return a blob of a project; None if there is none."""
