"""Objects of the faces: what a vendor's contract has that is neither package nor run.

Faces ask for permission themselves: what scope an object needs is the vendor's affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polycall.domain import FaceObject
from polycall.errors import InvalidArgument
from polycall.ids import now_ms
from polycall.store.protocol import FaceStore, Page

__all__ = ["Objects"]

_LONGEST_ID = 512  # characters
# Of one kind in a project: contracts have none, and nothing else would end what a key makes in a loop.
_MOST_OBJECTS = 10_000
_MOST_DATA = 4 << 20  # bytes; a draft of a script of 1 MiB, escaped, is the largest


class Objects:
    """Small JSON objects by project, face, kind and id."""

    def __init__(self, store: FaceStore) -> None:
        self._store = store

    async def create(
        self,
        project_id: str,
        face: str,
        kind: str,
        object_id: str,
        data: bytes,
        *,
        alias: str | None = None,
        blob: str | None = None,
    ) -> FaceObject:
        """Keep a new object.

        Raises InvalidArgument (size), AlreadyExists (id or alias: ``resource_name`` tells), QuotaExceeded.
        """
        now = now_ms()
        made = FaceObject(
            project_id=project_id,
            face=face,
            kind=kind,
            id=object_id,
            alias=alias,
            created_at=now,
            updated_at=now,
            data=data,
            blob=blob,
        )
        _check(made)
        return await self._store.create_object(made, most=_MOST_OBJECTS)

    async def get(self, project_id: str, face: str, kind: str, object_id: str) -> FaceObject:
        """Return an object. Raises NotFound."""
        return await self._store.get_object(project_id, face, kind, object_id)

    async def find(self, project_id: str, face: str, kind: str, alias: str) -> FaceObject:
        """Return the object with an alias. Raises NotFound."""
        return await self._store.find_object(project_id, face, kind, alias)

    async def put(self, changed: FaceObject, content: bytes | None = None) -> FaceObject | None:
        """Replace alias, data and blob of what was read at ``revision``; None: it was changed since, or is gone.

        ``content``: what its blob shall be, kept with it. Raises InvalidArgument (size), AlreadyExists (alias),
        QuotaExceeded.
        """
        changed = replace(changed, updated_at=now_ms())
        _check(changed)
        return await self._store.put_object(changed, content)

    async def delete(self, project_id: str, face: str, kind: str, object_id: str) -> None:
        """Delete an object. Raises NotFound."""
        await self._store.delete_object(project_id, face, kind, object_id)

    async def some(self, project_id: str, face: str, kind: str, ids: Sequence[str]) -> Mapping[str, FaceObject]:
        """Return those that are there of some ids, by their ids."""
        return {each.id: each for each in await self._store.some_objects(project_id, face, kind, ids)}

    async def list(
        self, project_id: str, face: str, kind: str, page_size: int, page_token: str = ""
    ) -> Page[FaceObject]:
        """Return a page, newest first. Raises InvalidArgument (token)."""
        return await self._store.list_objects(project_id, face, kind, page_size, page_token)

    async def of_kind(self, face: str, kind: str, most: int) -> Sequence[FaceObject]:
        """Return objects of all projects, oldest first: for who goes on with what an earlier server has begun."""
        return await self._store.objects_of_kind(face, kind, most)

    async def get_blob(self, project_id: str, digest: str) -> bytes | None:
        """Return what was kept; None if there is none."""
        return await self._store.get_blob(project_id, digest)


def _check(made: FaceObject) -> None:
    for name, text in (("id", made.id), ("alias", made.alias)):
        if text is not None and not 0 < len(text) <= _LONGEST_ID:
            raise InvalidArgument.of(f"{made.kind}.{name}", f"must have 1 to {_LONGEST_ID} characters")
    if len(made.data) > _MOST_DATA:
        raise InvalidArgument.of(made.kind, f"has {len(made.data)} bytes; at most {_MOST_DATA}")
