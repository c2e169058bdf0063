"""Who may do what with a package: OWNER includes WRITE and EXECUTE, WRITE includes READ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec

from polycall.domain import FaceObject, Package, Principal, Scope
from polycall.engine.keys import require
from polycall.engine.objects import Objects
from polycall.errors import AlreadyExists, FieldViolation, InvalidArgument, NotFound, PermissionDenied, Unavailable
from polycall.faces.domo.kept import FACE, kept_package
from polycall.faces.wire import decode

__all__ = [
    "EXECUTE",
    "OWNER",
    "READ",
    "WRITE",
    "Grants",
    "Permissions",
    "Share",
    "check",
    "read_grants",
    "read_share",
    "rights_in",
    "rights_of",
]

OWNER, WRITE, READ, EXECUTE = "OWNER", "WRITE", "READ", "EXECUTE"
_NONE = "NONE"
_MEANT = {OWNER: OWNER, WRITE: WRITE, READ: READ, EXECUTE: EXECUTE, "VIEW": READ, "EDIT": WRITE}
_INCLUDED: Mapping[str, frozenset[str]] = {
    OWNER: frozenset({OWNER, WRITE, READ, EXECUTE}),
    WRITE: frozenset({WRITE, READ}),
}
_ALL = _INCLUDED[OWNER]
_NATIVE = frozenset({READ, EXECUTE})  # as far as the key's scopes go
_KIND = "permissions"
_MOST = 10_000  # users and groups of one package
_ATTEMPTS = 5  # of changing what others change at the same time


_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # as databases and JSON libraries have it


class _Entry(msgspec.Struct, frozen=True):
    id: _Id
    permissions: tuple[str, ...] = ()


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """The permissions of one package, by user and by group; groups are kept and shown, and nobody is in one."""

    users: tuple[_Entry, ...] = ()
    groups: tuple[_Entry, ...] = ()


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Permissions for some users, or for some groups; none: theirs are taken away."""

    permissions: tuple[str, ...]
    user_ids: tuple[int, ...] = ()
    group_ids: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """Whom it is about."""
        return self.user_ids or self.group_ids


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    made: str  # of the package that they were granted for
    grants: Grants


class _ShareBody(msgspec.Struct, rename="camel"):
    permissions: tuple[str, ...]
    user_ids: tuple[_Id, ...] | None = None
    group_ids: tuple[_Id, ...] | None = None


class _GrantsBody(msgspec.Struct):
    users: tuple[_Entry, ...] | None = None
    groups: tuple[_Entry, ...] | None = None


def read_share(body: bytes) -> Share:
    """Read what to share and with whom: users or groups. Raises InvalidArgument."""
    sent = decode(body, _ShareBody)
    if bool(sent.user_ids) == bool(sent.group_ids):
        raise InvalidArgument.of("", "exactly one of userIds and groupIds must name somebody")
    if not sent.permissions:
        raise InvalidArgument.of("permissions", "must not be empty")
    _check_size(sent.user_ids or sent.group_ids or ())
    taken_away = _NONE in sent.permissions
    if taken_away and len(sent.permissions) > 1:
        raise InvalidArgument.of("permissions", "NONE takes all others away and stands alone")
    return Share(
        permissions=() if taken_away else _meant(sent.permissions, "permissions"),
        user_ids=sent.user_ids or (),
        group_ids=sent.group_ids or (),
    )


def read_grants(body: bytes) -> Grants:
    """Read a whole set. Raises InvalidArgument."""
    sent = decode(body, _GrantsBody)
    return Grants(users=_entries(sent.users or (), "users"), groups=_entries(sent.groups or (), "groups"))


class Permissions:
    """The permissions of all packages."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def of(self, package: Package) -> Grants | None:
        """Return a package's permissions: its owner's, until somebody has changed them; None: nobody owns it."""
        return None if package.face is None else _granted(package, await self._stored(package))

    async def of_some(self, project_id: str, package_ids: Sequence[str]) -> Mapping[str, FaceObject]:
        """Return what is stored of some packages, by package."""
        return await self._objects.some(project_id, FACE, _KIND, package_ids)

    async def require(self, who: Principal, scope: Scope, package: Package, permission: str) -> frozenset[str]:
        """Return what a caller may do. Raises PermissionDenied without the key's scope, or without the permission."""
        require(who, scope)
        return check(who, package, await self.of(package), permission)

    async def share(self, who: Principal, package: Package, share: Share) -> None:
        """Add permissions, or take those of some away.

        Raises PermissionDenied if somebody who is no owner makes or unmakes one, Unavailable.
        """
        for _ in range(_ATTEMPTS):
            stored = await self._stored(package)
            grants = _granted(package, stored)
            rights = rights_of(who, package, grants)
            if grants is None:  # whoever shares it first is its owner
                grants = Grants(users=(_Entry(int(who.user_id), (OWNER,)),))
            if await self._write(package, stored, _shared(grants, share, rights)):
                return
        raise _busy(package)

    async def replace(self, package: Package, grants: Grants) -> Grants:
        """Put a whole set in the place of what is there. Raises Unavailable."""
        for _ in range(_ATTEMPTS):
            if await self._write(package, await self._stored(package), grants):
                return grants
        raise _busy(package)

    async def forget(self, package: Package) -> None:
        """Delete what is stored of a package that is gone; for one of the same id it would not hold anyway."""
        try:
            await self._objects.delete(package.project_id, FACE, _KIND, package.id)
        except NotFound:
            return

    async def _stored(self, package: Package) -> FaceObject | None:
        try:
            return await self._objects.get(package.project_id, FACE, _KIND, package.id)
        except NotFound:
            return None

    async def _write(self, package: Package, stored: FaceObject | None, grants: Grants) -> bool:
        """Return False if somebody else was quicker."""
        data = msgspec.json.encode(_Kept(made=_made(package), grants=grants))
        if stored is not None:
            return await self._objects.put(replace(stored, data=data)) is not None
        try:
            await self._objects.create(package.project_id, FACE, _KIND, package.id, data)
        except AlreadyExists:
            return False
        return True


def rights_of(who: Principal, package: Package, grants: Grants | None) -> frozenset[str]:
    """Return what a caller may do. A project's administrators, and all where nobody owns it, may do all."""
    if package.face is None:
        return _NATIVE
    if grants is None or Scope.ADMIN in who.scopes:
        return _ALL
    return frozenset().union(
        *(_INCLUDED.get(p, {p}) for each in grants.users if str(each.id) == who.user_id for p in each.permissions)
    )


def check(who: Principal, package: Package, grants: Grants | None, permission: str) -> frozenset[str]:
    """Return what a caller may do. Raises PermissionDenied without the permission."""
    rights = rights_of(who, package, grants)
    if permission not in rights and package.face is None:
        raise PermissionDenied(
            f"Package {package.id} was deployed natively: it is read and run here, and changed where it came from."
        )
    if permission not in rights:
        raise PermissionDenied(
            f"User {who.user_id} has no {permission} permission for package {package.id}; "
            "ask one of its owners to share it.",
            metadata={"permission": permission, "user": who.user_id},
        )
    return rights


def rights_in(who: Principal, package: Package, stored: FaceObject | None) -> frozenset[str]:
    """Return what a caller may do, by what is stored of a package."""
    return rights_of(who, package, _granted(package, stored))


def _granted(package: Package, stored: FaceObject | None) -> Grants | None:
    if stored is not None:
        kept = msgspec.json.decode(stored.data, type=_Kept)
        if kept.made == _made(package):
            return kept.grants
    beside = kept_package(package)
    return None if beside is None else Grants(users=(_Entry(int(beside.owner), (OWNER,)),))


def _made(package: Package) -> str:
    """Return what tells a package from a later one of the same id."""
    beside = kept_package(package)
    return str(package.created_at) if beside is None else beside.made


def _shared(grants: Grants, share: Share, rights: Collection[str]) -> Grants:
    """Return grants with a share in them. Raises PermissionDenied."""
    entries = grants.users if share.user_ids else grants.groups
    held = {each.id: each.permissions for each in entries}
    if OWNER not in rights and (
        OWNER in share.permissions or (not share.permissions and any(OWNER in held.get(i, ()) for i in share.ids))
    ):
        raise PermissionDenied("Only an owner of the package makes others its owners, or ends that.")
    for each in share.ids:
        held[each] = _ordered((*held.get(each, ()), *share.permissions)) if share.permissions else ()
    changed = tuple(_Entry(each, permissions) for each, permissions in held.items() if permissions)
    _check_size(changed)
    return msgspec.structs.replace(grants, **{"users" if share.user_ids else "groups": changed})


def _entries(sent: Iterable[_Entry], at: str) -> tuple[_Entry, ...]:
    held: dict[int, tuple[str, ...]] = {}
    for index, each in enumerate(sent):
        where = f"{at}[{index}].permissions"
        held[each.id] = _ordered((*held.get(each.id, ()), *_meant([p for p in each.permissions if p != _NONE], where)))
    entries = tuple(_Entry(each, permissions) for each, permissions in held.items() if permissions)
    _check_size(entries)
    return entries


def _meant(permissions: Iterable[str], at: str) -> tuple[str, ...]:
    wrong = [each for each in permissions if each.upper() not in _MEANT]
    if wrong:
        rule = f"must be of {', '.join((*_MEANT, _NONE))}, got {wrong[0][:40]!r}"
        raise InvalidArgument([FieldViolation(at, rule)])
    return _ordered(_MEANT[each.upper()] for each in permissions)


def _ordered(permissions: Iterable[str]) -> tuple[str, ...]:
    given = set(permissions)
    return tuple(each for each in (OWNER, WRITE, READ, EXECUTE) if each in given)


def _check_size(entries: Collection[object]) -> None:
    if len(entries) > _MOST:
        raise InvalidArgument.of("", f"a package may be shared with {_MOST} users and {_MOST} groups")


def _busy(package: Package) -> Unavailable:
    name = package.id
    return Unavailable(f"The permissions of package {name} are being changed by others; try again.")
