"""Uploaded files: the zips that functions are made from.

A file is made first, its content is sent to an address that is its own authorisation: unguessable, for this file alone,
for an hour, as long as the key that made it is valid. Only the token's hash is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import msgspec

from polycall.domain import FaceObject, Principal
from polycall.engine.objects import Objects
from polycall.errors import AlreadyExists, NotFound, PermissionDenied, Unauthenticated, Unavailable
from polycall.faces.cognite.failures import Duplicated
from polycall.faces.cognite.requests import FileForm, Reference
from polycall.faces.cognite.resource import FACE
from polycall.quick import dataclass

__all__ = ["File", "FileBody", "Files", "no_upload"]

_KIND = "file"
_COUNTER = "cognite_files"
_UPLOAD_MS = 3_600_000  # how long an upload may begin; the SDK begins at once
_TRIES = 5  # at changing what others change in this moment


class _Data(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is kept of a file beside its ids; times in ms."""

    name: str
    mime_type: str | None = None
    uploaded_at: int | None = None
    is_zip: bool = False
    token_hash: str = ""  # of the address to which the content goes; hex
    token_until: int = 0
    created_by: str = ""  # whose address it is: it ends with that key


@dataclass(frozen=True, slots=True)
class File:
    """A file. ``blob``: the digest of its content, None before it is there."""

    id: int
    name: str
    blob: str | None
    is_zip: bool


class FileBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's FileMetadata. Members that are not set are left out."""

    id: int
    name: str
    uploaded: bool
    created_time: int
    last_updated_time: int
    external_id: str | msgspec.UnsetType = msgspec.UNSET
    mime_type: str | msgspec.UnsetType = msgspec.UNSET
    uploaded_time: int | msgspec.UnsetType = msgspec.UNSET
    upload_url: str | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, kept: FaceObject) -> FileBody:
        """Show a file."""
        data = _data(kept)
        return cls(
            id=int(kept.id),
            name=data.name,
            uploaded=kept.blob is not None,
            created_time=kept.created_at,
            last_updated_time=kept.updated_at,
            external_id=msgspec.UNSET if kept.alias is None else kept.alias,
            mime_type=msgspec.UNSET if data.mime_type is None else data.mime_type,
            uploaded_time=msgspec.UNSET if data.uploaded_at is None else data.uploaded_at,
        )


class Numbers(Protocol):
    """Gives numbers."""

    async def next_number(self, name: str) -> int:
        """Return the next number of a named counter."""


class Keys(Protocol):
    """Knows API keys."""

    async def of_id(self, project_id: str, key_id: str) -> Principal:
        """Return who a key belongs to. Raises Unauthenticated for one that is not valid any more."""


class Files:
    """Files of all projects."""

    def __init__(self, objects: Objects, numbers: Numbers, keys: Keys) -> None:
        self._objects = objects
        self._numbers = numbers
        self._keys = keys

    async def create(self, who: Principal, form: FileForm, now_ms: int, *, overwrite: bool) -> tuple[FaceObject, str]:
        """Make a file, or begin anew with that of the same external id; return it with the token of its address.

        Raises Duplicated (external id, without ``overwrite``), Unavailable.
        """
        token, project_id = secrets.token_urlsafe(32), who.project_id
        data = msgspec.json.encode(
            _Data(
                name=form.name,
                mime_type=form.mime_type,
                token_hash=_digest(token),
                token_until=now_ms + _UPLOAD_MS,
                created_by=who.key_id,
            )
        )
        for _ in range(_TRIES):
            known = await self._known(project_id, form.external_id)
            if known is not None:
                if not overwrite:
                    raise Duplicated([form.external_id or ""])
                changed = await self._objects.put(replace(known, data=data, blob=None))
                if changed is not None:
                    return changed, token
                continue
            number = str(await self._numbers.next_number(_COUNTER))
            with suppress(AlreadyExists):  # somebody else made one of that external id in this moment
                made = await self._objects.create(project_id, FACE, _KIND, number, data, alias=form.external_id)
                return made, token
        raise Unavailable("Others make this file again and again; repeat the request.")

    async def check_upload(self, project_id: str, file_id: str, token: str, now_ms: int) -> FaceObject:
        """Return the file that a token is for. Raises PermissionDenied."""
        with suppress(NotFound, Unauthenticated):
            kept = await self._objects.get(project_id, FACE, _KIND, file_id)
            data = _data(kept)
            if hmac.compare_digest(_digest(token), data.token_hash) and now_ms < data.token_until:
                await self._keys.of_id(project_id, data.created_by)
                return kept
        raise no_upload()

    async def upload(self, project_id: str, file_id: str, token: str, content: bytes, now_ms: int) -> None:
        """Keep the content of a file, in place of what it has. Raises PermissionDenied, QuotaExceeded, Unavailable."""
        await self.check_upload(project_id, file_id, token, now_ms)
        is_zip = await asyncio.to_thread(zipfile.is_zipfile, io.BytesIO(content))
        for _ in range(_TRIES):
            kept = await self.check_upload(project_id, file_id, token, now_ms)  # it may have been begun anew meanwhile
            data = msgspec.structs.replace(_data(kept), uploaded_at=now_ms, is_zip=is_zip)
            if await self._objects.put(replace(kept, data=msgspec.json.encode(data)), content) is not None:
                return
        raise Unavailable("Others change this file again and again; repeat the request.")

    async def get(self, project_id: str, file_id: int) -> File:
        """Return a file. Raises NotFound."""
        kept = await self._objects.get(project_id, FACE, _KIND, str(file_id))
        data = _data(kept)
        return File(int(kept.id), data.name, kept.blob, data.is_zip)

    async def find(self, project_id: str, references: Sequence[Reference]) -> Mapping[Reference, FaceObject]:
        """Return the files that are there, by what was asked for."""
        found = {}
        for reference in references:
            with suppress(NotFound):
                if reference.id is not None:
                    found[reference] = await self._objects.get(project_id, FACE, _KIND, str(reference.id))
                else:
                    found[reference] = await self._objects.find(project_id, FACE, _KIND, reference.external_id)
        return found

    async def delete(self, project_id: str, file_id: str) -> None:
        """Delete a file, if it is there: its address is good for nothing then, and its external id is free."""
        with suppress(NotFound):
            await self._objects.delete(project_id, FACE, _KIND, file_id)

    async def _known(self, project_id: str, external_id: str | None) -> FaceObject | None:
        if external_id is None:
            return None
        with suppress(NotFound):
            return await self._objects.find(project_id, FACE, _KIND, external_id)
        return None


def no_upload() -> PermissionDenied:
    """Return what is said to who may not send a file's content."""
    return PermissionDenied("This upload URL is not valid, or not any more; make the file anew.")


def _data(kept: FaceObject) -> _Data:
    return msgspec.json.decode(kept.data, type=_Data)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
