"""The Domo face: packages, versions, permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from polycall.domain import Package, Principal, Scope, Version, VersionState
from polycall.engine.keys import require
from polycall.engine.limits import MIB
from polycall.errors import InvalidArgument, PayloadTooLarge, PolycallError
from polycall.faces.aside import aside
from polycall.faces.domo.callers import Callers
from polycall.faces.domo.errors import CONTENT_TYPE, failed
from polycall.faces.domo.kept import FACE, kept_package, kept_version
from polycall.faces.domo.packages import Packages, no_version
from polycall.faces.domo.permissions import OWNER, READ, WRITE, Grants, Permissions, read_grants, read_share
from polycall.faces.domo.room import Room
from polycall.faces.domo.saving import read_changes, read_save
from polycall.faces.domo.shown import Parts, package_body, read_parts, version_body
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump

__all__ = ["DomoPackageFace", "PackageReader"]

_ANY_SIZE = 1 << 60
_LONG = 1 * MIB  # what is encoded aside, as long as nobody knows its size


class PackageReader:
    """Shows packages and versions to whoever may read them."""

    def __init__(self, packages: Packages, permissions: Permissions) -> None:
        self._packages = packages
        self._permissions = permissions

    async def list_packages(self, who: Principal, inbound: Inbound) -> Reply:
        """GET packages."""
        query = parse_qs(inbound.query)
        skip, limit = (_number(query, name) for name in ("skip", "limit"))
        found = await self._packages.page(who, READ, skip or 0, limit)
        parts, room = _parts(query), Room()
        return await _reply([await self.package(who, package, parts, room, writes=writes) for package, writes in found])

    async def get_package(self, who: Principal, inbound: Inbound) -> Reply:
        """GET packages/{id}."""
        package = await self._packages.find(who, inbound.variable("package_id"))
        rights = await self._permissions.require(who, Scope.READ, package, READ)
        parts = _parts(parse_qs(inbound.query))
        return await _reply(await self.package(who, package, parts, Room(), writes=WRITE in rights))

    async def list_versions(self, who: Principal, inbound: Inbound) -> Reply:
        """GET packages/{id}/versions."""
        package = await self._packages.find(who, inbound.variable("package_id"))
        rights = await self._permissions.require(who, Scope.READ, package, READ)
        query, room = parse_qs(inbound.query), Room()
        versions = await self._packages.versions(who, package, room, all_of_them=WRITE in rights)
        return await _reply([await self.version(package, each, _parts(query), room) for each in _page(versions, query)])

    async def get_version(self, who: Principal, inbound: Inbound) -> Reply:
        """GET packages/{id}/versions/{version}: a released one."""
        package = await self._packages.find(who, inbound.variable("package_id"))
        await self._permissions.require(who, Scope.READ, package, READ)
        version = await self._packages.version(package, inbound.variable("version"))
        if version.state is not VersionState.RELEASED:
            raise no_version(package.id, version.id, "it is not released")
        return await _reply(await self.version(package, version, _parts(parse_qs(inbound.query)), Room()))

    async def package(self, who: Principal, package: Package, parts: Parts, room: Room, *, writes: bool) -> Any:
        """Return a FunctionPackage. Raises PayloadTooLarge."""
        versions = await self._packages.versions(who, package, room, all_of_them=writes)
        language = self._packages.language(package, versions)
        shown = [await self.version(package, each, parts, room) for each in versions]
        return package_body(package, kept_package(package), language, versions, shown)

    async def written(self, who: Principal, package: Package) -> Any:
        """Return a FunctionPackage to who has just changed it: one that is too large without code and functions."""
        try:
            return await self.package(who, package, Parts(), Room(), writes=True)
        except PayloadTooLarge:
            return await self.package(who, package, Parts(bare=True), Room(_ANY_SIZE), writes=True)

    async def version(self, package: Package, version: Version, parts: Parts, room: Room) -> Any:
        """Return a Version. Raises PayloadTooLarge."""
        parts = parts.of(version.language)
        code = await self._packages.code(version) if parts.code else ""
        room.take(len(code))
        return version_body(version, kept_version(version), package.id, code, parts)


class DomoPackageFace:
    """Domo's packages over the registry."""

    name = FACE
    body_limit = 64 * MIB

    def __init__(self, callers: Callers, packages: Packages, permissions: Permissions, reader: PackageReader) -> None:
        self._callers = callers
        self._packages = packages
        self._permissions = permissions
        self._reader = reader
        self.handlers: Mapping[str, Handler] = {
            "ListPackages": self._read(reader.list_packages),
            "SavePackage": self.save_package,
            "GetPackage": self._read(reader.get_package),
            "DeletePackage": self.delete_package,
            "ListVersions": self._read(reader.list_versions),
            "GetVersion": self._read(reader.get_version),
            "UpdateVersion": self.update_version,
            "ReleaseVersion": self.release_version,
            "SharePackage": self.share_package,
            "GetPermissions": self.get_permissions,
            "SetPermissions": self.set_permissions,
        }

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error)

    async def save_package(self, inbound: Inbound) -> Reply:
        """POST packages: a new package or version, or one that is not released anew."""
        who = await self._callers.who(inbound)
        require(who, Scope.DEPLOY)
        body = await inbound.read()
        package = await self._packages.save(who, await aside(len(body), read_save, body))
        return await _reply(await self._reader.written(who, package))

    async def update_version(self, inbound: Inbound) -> Reply:
        """PUT packages/{id}/versions/{version}."""
        who, package = await self._allowed(inbound, Scope.DEPLOY, WRITE)
        version_id = inbound.variable("version")
        await self._packages.version(package, version_id)
        body = await inbound.read()
        changes = await aside(len(body), read_changes, body)
        version = await self._packages.update(who, package, version_id, changes)
        return await _reply(await self._reader.version(package, version, Parts(code=True, functions=True), Room()))

    async def release_version(self, inbound: Inbound) -> Reply:
        """POST packages/{id}/versions/{version}/release."""
        who, package = await self._allowed(inbound, Scope.DEPLOY, WRITE)
        await self._packages.release(who, package, inbound.variable("version"))
        return await _reply(await self._reader.written(who, package))

    async def delete_package(self, inbound: Inbound) -> Reply:
        """DELETE packages/{id}."""
        who, package = await self._allowed(inbound, Scope.DEPLOY, OWNER)
        await self._packages.delete(who, package)
        return Reply(body=b"", content_type=CONTENT_TYPE)

    async def share_package(self, inbound: Inbound) -> Reply:
        """POST packages/{id}/share."""
        who, package = await self._allowed(inbound, Scope.DEPLOY, WRITE)
        body = await inbound.read()
        await self._permissions.share(who, package, await aside(len(body), read_share, body))
        return await _reply({})

    async def get_permissions(self, inbound: Inbound) -> Reply:
        """GET packages/{id}/permissions."""
        _, package = await self._allowed(inbound, Scope.READ, READ)
        return await _reply(await self._permissions.of(package) or Grants())

    async def set_permissions(self, inbound: Inbound) -> Reply:
        """POST packages/{id}/permissions: the whole set."""
        _, package = await self._allowed(inbound, Scope.DEPLOY, OWNER)
        body = await inbound.read()
        return await _reply(await self._permissions.replace(package, await aside(len(body), read_grants, body)))

    async def _allowed(self, inbound: Inbound, scope: Scope, permission: str) -> tuple[Principal, Package]:
        who = await self._callers.who(inbound)
        package = await self._packages.find(who, inbound.variable("package_id"))
        await self._permissions.require(who, scope, package, permission)
        return who, package

    def _read(self, show: Callable[[Principal, Inbound], Any]) -> Handler:
        async def handle(inbound: Inbound) -> Reply:
            reply: Reply = await show(await self._callers.who(inbound), inbound)
            return reply

        return handle


def _parts(query: Mapping[str, list[str]]) -> Parts:
    return read_parts(",".join(query.get("parts", ())))


def _page(items: Any, query: Mapping[str, list[str]]) -> Any:
    """Return the items that a query asks for: from ``skip`` on, ``limit`` of them. Raises InvalidArgument."""
    skip, limit = (_number(query, name) for name in ("skip", "limit"))
    start = skip or 0
    return items[start : None if limit is None else start + limit]


def _number(query: Mapping[str, list[str]], name: str) -> int | None:
    if not (given := query.get(name, [""])[-1].strip()):
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise InvalidArgument.of(name, f"must be a whole number, 0 or more, got {given[:40]!r}")
    return int(given)


async def _reply(body: object) -> Reply:
    return Reply(body=await aside(_LONG, dump, body), content_type=CONTENT_TYPE)
