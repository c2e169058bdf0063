"""What the vendors' contracts have that is neither package nor run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from polycall.domain import FaceObject
from polycall.store import objects
from polycall.store.blobs import Blob, read_blobs
from polycall.store.executor import Executor
from polycall.store.failures import Conflict
from polycall.store.outside import Outside
from polycall.store.packages import Place
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page
from polycall.store.quota import StorageQuota

__all__ = ["SqlObjects"]


class SqlObjects:
    """See ``polycall.store.protocol.FaceStore``."""

    def __init__(self, executor: Executor, quota: StorageQuota, outside: Outside) -> None:
        self._executor = executor
        self._quota = quota
        self._outside = outside

    async def create_object(self, made: FaceObject, most: int | None = None) -> FaceObject:
        """Insert; raise AlreadyExists (id or alias), NotFound (project), QuotaExceeded, Unavailable."""
        await self._executor.write(self._quota.within, made.project_id, objects.create_object, made, most)
        return made

    async def get_object(self, project_id: str, face: str, kind: str, object_id: str) -> FaceObject:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(objects.get_object, project_id, face, kind, object_id)

    async def find_object(self, project_id: str, face: str, kind: str, alias: str) -> FaceObject:
        """Return the one with an alias; raise NotFound, Unavailable."""
        return await self._executor.read(objects.find_object, project_id, face, kind, alias)

    async def put_object(self, changed: FaceObject, content: bytes | None = None) -> FaceObject | None:
        """Replace what may change if it is still at that revision, else None; see the protocol.

        Raises AlreadyExists, QuotaExceeded, Unavailable.
        """
        blob = None
        if content is not None:
            blob = await self._outside.place(await asyncio.to_thread(Blob.of, changed.project_id, content))
            changed = replace(changed, blob=blob.digest)
        for attempt in range(2):
            try:
                return await self._executor.write(
                    self._quota.within, changed.project_id, objects.put_object, changed, blob
                )
            except Conflict:  # somebody took the alias in this moment
                if attempt:
                    raise
        raise AssertionError("unreachable")

    async def delete_object(self, project_id: str, face: str, kind: str, object_id: str) -> None:
        """Delete; raise NotFound, Unavailable."""
        await self._executor.write(objects.delete_object, project_id, face, kind, object_id)

    async def some_objects(self, project_id: str, face: str, kind: str, ids: Sequence[str]) -> Sequence[FaceObject]:
        """Return those that are there of some ids. Raises Unavailable."""
        return await self._executor.read(objects.some_objects, project_id, face, kind, tuple(ids))

    async def list_objects(
        self, project_id: str, face: str, kind: str, page_size: int, page_token: str = ""
    ) -> Page[FaceObject]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("objects", project_id, face, kind)
        after = read_token(scope, page_token, Place.parse)
        found = await self._executor.read(objects.list_objects, project_id, face, kind, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def objects_of_kind(self, face: str, kind: str, most: int) -> Sequence[FaceObject]:
        """Return objects of all projects, oldest first; raise Unavailable."""
        return await self._executor.read(objects.objects_of_kind, face, kind, most)

    async def get_blob(self, project_id: str, digest: str) -> bytes | None:
        """Return a blob of a project; None if there is none. Raises Unavailable."""
        found = (await self._executor.read(read_blobs, project_id, [digest])).get(digest)
        return None if found is None else await self._outside.value(found)
