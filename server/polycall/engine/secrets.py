"""Secrets: written by callers, sealed in the store, opened by the engine where they are used, read by nobody."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TypeVar

from polycall.domain import Principal, Reason, Scope, Secret
from polycall.engine.keys import require
from polycall.engine.limits import KIB, MIB
from polycall.engine.recent import Recent
from polycall.engine.renewals import CACHE_S, Renewals
from polycall.engine.siblings import ALONE, SecretChanged, Siblings
from polycall.engine.tasks import through
from polycall.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from polycall.ids import from_ulid, new_id, now_ms, to_ulid
from polycall.names import SECRET_RULE, SecretName, is_secret_id
from polycall.quick import dataclass
from polycall.sealing import Sealer
from polycall.store.protocol import Page, SecretStore

__all__ = [
    "LONGEST_NAME",
    "LONGEST_VALUE",
    "MOST_SECRETS",
    "Secrets",
    "is_value",
    "open_values",
    "project_place",
    "seal_values",
    "unusable",
    "values_anew",
]

T = TypeVar("T")

_CACHE_BYTES = 4 * MIB

MOST_SECRETS = 1000  # of one project: 64 MiB of values at most
LONGEST_NAME = 256  # characters, as other names for people have it
LONGEST_VALUE = 64 * KIB  # bytes as UTF-8; what Google's and AWS's secret managers take

# RFC 9562: an id's first 48 bits are its milliseconds
_BELOW_TIME = 80


@dataclass(frozen=True, slots=True)
class _Cached:
    sealed: str
    until: float  # time.monotonic


class Secrets:
    """Secrets of all projects. ``on_change`` is told of which project one has changed.

    What was looked up is kept for a while as it is in the store: sealed.
    """

    def __init__(
        self, store: SecretStore, sealer: Sealer, siblings: Siblings = ALONE, renewals: Renewals | None = None
    ) -> None:
        self._store = store
        self._renewals = renewals or Renewals()
        self._sealer = sealer
        self._siblings = siblings
        self._recent: Recent[tuple[str, str], _Cached] = Recent(_CACHE_BYTES, lambda cached: KIB + len(cached.sealed))
        self._changes = 0
        self.on_change: Callable[[str], None] = lambda project_id: None

    async def create(
        self,
        who: Principal,
        name: str,
        value: str,
        *,
        id: str = "",
        face: str | None = None,
        unique_name: bool = False,
        validate_only: bool = False,
    ) -> Secret:
        """Keep a secret. Several may have one name, unless it shall be ``unique_name``; ``id`` "" is one of ours.

        Raises PermissionDenied (scope DEPLOY), InvalidArgument (``secret_id``, ``secret.display_name``,
        ``secret.value``), AlreadyExists (id, or the name; its ``resource_name`` tells which), QuotaExceeded.
        """
        require(who, Scope.DEPLOY)
        wrong = [*_name_violations(name), *_value_violations(value)]
        if id and not is_secret_id(id):
            wrong.append(FieldViolation("secret_id", SECRET_RULE))
        if wrong:
            raise InvalidArgument(wrong)
        minted = new_id()
        # an id of ours tells when it was made, also once it is deleted: see ``list``
        now = minted.int >> _BELOW_TIME
        secret = Secret(
            project_id=who.project_id,
            id=id or to_ulid(minted),
            name=name,
            created_at=now,
            updated_at=now,
            face=face,
            created_by=who.key_id,
        )
        if validate_only:
            return secret
        sealed = self._sealer.seal(value, _place(project_place(secret.project_id), secret.id))
        keeping = self._store.create_secret(secret, sealed, most=MOST_SECRETS, unique_name=unique_name)
        return await through(self._changed(who.project_id, keeping))

    async def get(self, who: Principal, secret_id: str) -> Secret:
        """Return what is known of a secret. Raises PermissionDenied (scope READ), NotFound."""
        require(who, Scope.READ)
        return await self._store.get_secret(who.project_id, secret_id)

    async def find(self, who: Principal, name: str) -> Secret:
        """Return the newest secret of a name. Raises PermissionDenied (scope READ), NotFound."""
        require(who, Scope.READ)
        return await self._named(who.project_id, name)

    async def list(
        self,
        who: Principal,
        page_size: int,
        page_token: str = "",
        *,
        face: str | None = None,
        starting_after: str = "",
    ) -> Page[Secret]:
        """Return a page, newest first; ``face``: of those that it made.

        ``starting_after``: the id of the secret that the page begins after, in place of a token. One of ours that was
        deleted still has its place; after an id without one there is nothing.
        Raises PermissionDenied (scope READ), InvalidArgument (token).
        """
        require(who, Scope.READ)
        after = None
        if starting_after:
            after = await self._place(who.project_id, starting_after)
            if after is None:
                return Page(())
        return await self._store.list_secrets(who.project_id, page_size, page_token, face=face, after=after)

    async def update(
        self, who: Principal, secret_id: str, *, name: str | None = None, value: str | None = None
    ) -> Secret:
        """Give a secret another name, value, or both. Runs that start from now on get it.

        Raises PermissionDenied (scope DEPLOY), InvalidArgument, NotFound.
        """
        require(who, Scope.DEPLOY)
        wrong = [*(_name_violations(name) if name is not None else ())]
        wrong += _value_violations(value) if value is not None else ()
        if wrong:
            raise InvalidArgument(wrong)
        sealed = None
        if value is not None:
            sealed = self._sealer.seal(value, _place(project_place(who.project_id), secret_id)), now_ms()
        return await through(
            self._changed(who.project_id, self._store.update_secret(who.project_id, secret_id, name=name, value=sealed))
        )

    async def delete(self, who: Principal, secret_id: str) -> None:
        """Delete a secret; what refers to it cannot run any more. Raises PermissionDenied (scope DEPLOY), NotFound."""
        require(who, Scope.DEPLOY)
        await through(self._changed(who.project_id, self._store.delete_secret(who.project_id, secret_id)))

    # for what runs, and for nobody else

    async def open(self, project_id: str, secret_id: str) -> str:
        """Return the value of a secret. Raises FailedPrecondition (SECRET_UNUSABLE) without it or the key for it."""
        return (await self.open_all(project_id, (secret_id,)))[secret_id]

    async def open_named(self, project_id: str, name: str) -> str:
        """Return the value of the newest secret of a name. Raises as ``open``, and NotFound."""
        return await self.open(project_id, (await self._named(project_id, name)).id)

    async def open_all(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        """Return the values of secrets by their ids. Raises as ``open``."""
        if not ids:
            return {}
        sealed = await self._sealed(project_id, ids)
        for secret_id in ids:
            if secret_id not in sealed:
                name = str(SecretName(secret_id))
                raise unusable(name, f"{name} is referred to and does not exist in this project; create it.")
        return open_values(sealed, self._sealer, project_place(project_id))

    def heard(self, project_id: str) -> None:
        """Go by the database for the secrets of a project, one of which was changed, here or elsewhere."""
        self._changes += 1
        self._recent.drop_where(lambda key: key[0] == project_id)
        self.on_change(project_id)

    def forget_all(self) -> None:
        """Go by the database for every secret: one may have been changed elsewhere."""
        self._changes += 1
        self._recent.drop_where(lambda key: True)

    # within

    async def _sealed(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        now, found = time.monotonic(), dict[str, str]()
        for secret_id in ids:
            cached = self._recent.get((project_id, secret_id))
            if cached is not None and cached.until > now:
                found[secret_id] = cached.sealed
                self._renewals.use((project_id, secret_id), cached.until, partial(self._read, project_id, {secret_id}))
        if missing := set(ids) - found.keys():
            found |= await self._read(project_id, missing)
        return found

    async def _read(self, project_id: str, ids: Collection[str]) -> Mapping[str, str]:
        now, changes = time.monotonic(), self._changes
        read = await self._store.sealed_secrets(project_id, ids)
        if changes == self._changes:  # else what was read may be older than the change
            for secret_id, sealed in read.items():
                self._recent.put((project_id, secret_id), _Cached(sealed, now + CACHE_S))
        return read

    async def _changed(self, project_id: str, change: Awaitable[T]) -> T:
        done = await change
        self.heard(project_id)
        await self._siblings.tell(SecretChanged(project_id))
        return done

    async def _named(self, project_id: str, name: str) -> Secret:
        found = await self._store.find_secret(project_id, name)
        if found is None:
            message = "No secret of this project has this name."
            raise NotFound(Reason.SECRET_NOT_FOUND, "polycall.v1.Secret", "secrets", message)
        return found

    async def _place(self, project_id: str, secret_id: str) -> tuple[int, str] | None:
        try:
            secret = await self._store.get_secret(project_id, secret_id)
        except NotFound:
            deleted = from_ulid(secret_id)
            return None if deleted is None else (deleted.int >> _BELOW_TIME, secret_id)
        return secret.created_at, secret.id


def seal_values(values: Mapping[str, str], sealer: Sealer, place: str) -> Mapping[str, str]:
    """Return values by their names as they are kept in one place; what is moved to another name does not open."""
    return {name: sealer.seal(value, _place(place, name)) for name, value in values.items()}


def open_values(sealed: Mapping[str, str], sealer: Sealer, place: str) -> Mapping[str, str]:
    """Return values that were sealed for a place. Raises FailedPrecondition (SECRET_UNUSABLE)."""
    return {name: _opened(sealer, text, place, name) for name, text in sealed.items()}


def values_anew(sealed: Mapping[str, str], sealer: Sealer, place: str) -> Mapping[str, str]:
    """Return sealed values as the sealer's first key has them. Raises FailedPrecondition."""
    return {name: sealer.anew(text, _place(place, name)) for name, text in sealed.items()}


def unusable(name: str, message: str) -> FailedPrecondition:
    """Return what is raised for a secret that is referred to and cannot stand there."""
    return FailedPrecondition(message, subject=name, reason=Reason.SECRET_UNUSABLE, metadata={"secret": name})


def project_place(project_id: str) -> str:
    """Return what the secrets of a project are sealed for, each below it."""
    return f"projects/{project_id}"


def _place(parent: str, name: str) -> str:
    return f"{parent}/{SecretName(name)}"  # as it is spelled there, so that no two places are one


def _opened(sealer: Sealer, sealed: str, parent: str, name: str) -> str:
    try:
        return sealer.open(sealed, _place(parent, name))
    except FailedPrecondition as error:
        raise unusable(str(SecretName(name)), error.message) from None


def _name_violations(name: str) -> Iterator[FieldViolation]:
    if not 0 < len(name) <= LONGEST_NAME:
        yield FieldViolation("secret.display_name", f"must have 1 to {LONGEST_NAME} characters")


def is_value(text: str) -> bool:
    """Tell whether a text may be the value of a secret."""
    try:
        return 0 < len(text.encode()) <= LONGEST_VALUE and "\0" not in text
    except UnicodeEncodeError:
        return False


def _value_violations(value: str) -> Iterator[FieldViolation]:
    if not is_value(value):
        yield FieldViolation("secret.value", f"must be text of 1 to {LONGEST_VALUE} bytes (UTF-8), without NUL")
