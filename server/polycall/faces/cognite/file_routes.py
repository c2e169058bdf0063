"""Files: made, filled, looked up, deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote, unquote

from polycall.domain import Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.errors import PayloadTooLarge, PolycallError
from polycall.faces.cognite.failures import Missing
from polycall.faces.cognite.files import FileBody, Files, no_upload
from polycall.faces.cognite.queries import read_flag, read_query
from polycall.faces.cognite.requests import BODY_LIMIT, FILE_BYTES, is_id, read_asked_files, read_file
from polycall.faces.cognite.resource import Resource
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump
from polycall.ids import now_ms

__all__ = ["FileRoutes", "UploadDoor"]

_PREFIX = "/api/v1/projects/"


class FileRoutes(Resource):
    """CogniteFileService."""

    body_limit: ClassVar[int] = FILE_BYTES

    def __init__(self, engine: Engine, files: Files) -> None:
        super().__init__(engine)
        self._files = files
        self.handlers: Mapping[str, Handler] = {
            "CreateFile": self.create_file,
            "UploadFile": self.upload_file,
            "RetrieveFiles": self.retrieve_files,
            "DeleteFiles": self.delete_files,
        }

    async def create_file(self, inbound: Inbound) -> Reply:
        """POST files: answers where the content is to be sent."""
        who = await self._caller(inbound)
        require(who, Scope.DEPLOY)
        overwrite = read_flag(read_query(inbound.query), "overwrite")
        form = read_file(await self._small(inbound))
        made, token = await self._files.create(who, form, inbound.received_at, overwrite=overwrite)
        body = FileBody.of(made)
        # in the query, which no log has
        path = f"{_PREFIX}{quote(who.project_id, safe='')}/files/{made.id}/content?token={token}"
        body.upload_url = _origin(inbound) + path
        return Reply(body=dump(body), status=201)

    async def upload_file(self, inbound: Inbound) -> Reply:
        """PUT to the address of a file: its query says who may."""
        project_id, file_id = inbound.variable("project"), inbound.variable("file_id")
        token = _token(inbound.query)
        await self._files.check_upload(project_id, file_id, token, inbound.received_at)
        await self._files.upload(project_id, file_id, token, await inbound.read(), inbound.received_at)
        return Reply(body=b"")

    async def retrieve_files(self, inbound: Inbound) -> Reply:
        """POST files/byids."""
        who = await self._caller(inbound)
        require(who, Scope.READ)
        ask = read_asked_files(await self._small(inbound))
        found = await self._files.find(who.project_id, ask.references)
        missing = [reference for reference in ask.references if reference not in found]
        if missing and not ask.ignore_unknown:
            raise Missing("File", missing)
        return Reply(body=dump({"items": [FileBody.of(found[each]) for each in ask.references if each in found]}))

    async def delete_files(self, inbound: Inbound) -> Reply:
        """POST files/delete: all of them, or none if one is unknown. Functions made from them keep what they have."""
        who = await self._caller(inbound)
        require(who, Scope.DEPLOY)
        ask = read_asked_files(await self._small(inbound))
        found = await self._files.find(who.project_id, ask.references)
        missing = [reference for reference in ask.references if reference not in found]
        if missing and not ask.ignore_unknown:
            raise Missing("File", missing)
        for file_id in {kept.id for kept in found.values()}:
            await self._files.delete(who.project_id, file_id)
        return Reply(body=b"{}")

    @staticmethod
    async def _small(inbound: Inbound) -> bytes:
        body = await inbound.read()
        if len(body) > BODY_LIMIT:
            raise PayloadTooLarge(f"The request body is larger than {BODY_LIMIT} bytes.")
        return body


class UploadDoor:
    """Has the content of a file read if the address of the request says that it may be sent."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> PolycallError | None:
        """Return why a call's message is not to be read; None: it is."""
        said = {name: str(value) for name, value in metadata if name in ("x-envoy-original-path", "x-polycall-query")}
        path = said.get("x-envoy-original-path", "").removeprefix(_PREFIX)
        parts = [unquote(part) for part in path.split("/")]
        if len(parts) != 4 or (parts[1], parts[3]) != ("files", "content") or not is_id(parts[2]):
            return no_upload()
        try:
            await self._files.check_upload(parts[0], parts[2], _token(said.get("x-polycall-query", "")), now_ms())
        except PolycallError as error:
            return error
        return None


def _token(query: str) -> str:
    """Return the token of an address; "" without one. Raises InvalidArgument."""
    return read_query(query).get("token", "")


def _origin(inbound: Inbound) -> str:
    """Return scheme and authority as the client used them; "" if nobody said: it joins what is relative itself."""
    authority = inbound.headers.get("x-polycall-authority", "")
    scheme = inbound.headers.get("x-forwarded-proto", "")
    return f"{scheme if scheme in ('http', 'https') else 'http'}://{authority}" if authority else ""
