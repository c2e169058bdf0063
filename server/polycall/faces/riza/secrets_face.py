"""Riza's secrets: kept, listed by name, used by id, shown by nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from polycall.domain import Reason, Scope, Secret
from polycall.engine.engine import Engine
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.pages import read_page, read_query
from polycall.faces.riza.resource import FACE, Resource, deleted
from polycall.faces.wire import decode, dump

__all__ = ["SecretsFace"]

# What the engine calls the fields of a secret, and what this contract does.
_FIELDS = {"secret.display_name": "name", "secret.value": "value"}


class _Form(msgspec.Struct):
    name: str | None = None
    value: str | None = None


class _Body(msgspec.Struct):
    """The vendor's Secret."""

    id: str
    name: str

    @classmethod
    def of(cls, secret: Secret) -> _Body:
        return cls(secret.id, secret.name)


class SecretsFace(Resource):
    """``/v1/secrets``. Whoever made a secret, all of the project are here."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.handlers: Mapping[str, Handler] = {
            "CreateSecret": self.create,
            "ListSecrets": self.list,
            "DeleteSecret": self.delete,
        }

    async def create(self, inbound: Inbound) -> Reply:
        """POST /v1/secrets."""
        who = await self._caller(inbound, Scope.DEPLOY)
        form = await self._read(inbound, lambda body: decode(body, _Form))
        if form.name is None or form.value is None:
            missing = [field for field in ("name", "value") if getattr(form, field) is None]
            raise InvalidArgument([FieldViolation(field, "is required") for field in missing])
        try:
            made = await self._engine.secrets.create(who, form.name, form.value, face=FACE)
        except InvalidArgument as error:
            raise InvalidArgument(
                [FieldViolation(_FIELDS.get(v.field, v.field), v.description) for v in error.violations]
            ) from None
        return Reply(body=dump(_Body.of(made)))

    async def list(self, inbound: Inbound) -> Reply:
        """GET /v1/secrets: names, never values."""
        who = await self._caller(inbound, Scope.READ)
        ask = read_page(read_query(inbound.query))
        found: Sequence[Secret] = ()
        if not ask.nowhere:
            found = (await self._engine.secrets.list(who, ask.limit, starting_after=ask.after or "")).items
        return Reply(body=dump({"secrets": [_Body.of(each) for each in found]}))

    async def delete(self, inbound: Inbound) -> Reply:
        """DELETE /v1/secrets/{id}: what refers to it cannot run any more."""
        who = await self._caller(inbound, Scope.DEPLOY)
        secret_id = self._id(inbound, "secret_id", Reason.SECRET_NOT_FOUND)
        await self._engine.secrets.delete(who, secret_id)
        return deleted(secret_id)
