"""Packages and versions: saved, read, released, deleted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from polycall.domain import (
    Convention,
    Function,
    Language,
    LimitOverrides,
    Package,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.languages import main_file
from polycall.engine.registry import VersionDraft
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from polycall.faces.domo.accounts import check_accounts
from polycall.faces.domo.derived import derive
from polycall.faces.domo.kept import FACE, KeptPackage, KeptVersion, kept_package, kept_version
from polycall.faces.domo.manifest import FunctionSpec, Manifest, engine_function
from polycall.faces.domo.permissions import WRITE, Permissions, rights_in
from polycall.faces.domo.room import Room
from polycall.faces.domo.saving import WORKING, Changes, Save, reworded
from polycall.faces.domo.shown import specs_of
from polycall.ids import now_ms
from polycall.names import is_package_id, is_version_id
from polycall.quick import dataclass

__all__ = ["Packages", "no_package", "no_version"]

_PAGE = 200
_VERSIONS = 50  # read at once: each may have a manifest of 1 MiB
_ATTEMPTS = 5  # of saving what others save at the same time


@dataclass(frozen=True, slots=True)
class _Draft:
    """A version to be, and what is kept beside it."""

    version: Version
    files: dict[str, bytes]


class Packages:
    """Domo's packages of all projects, and those that were deployed natively, as far as Domo's callers see them."""

    def __init__(self, engine: Engine, permissions: Permissions) -> None:
        self._registry = engine.registry
        self._permissions = permissions

    # reading

    async def find(self, who: Principal, package_id: str) -> Package:
        """Return a package by the vendor's id, whoever asks. Raises NotFound, for those of other faces too."""
        if not is_package_id(package_id):
            raise no_package(package_id)
        try:
            package = await self._registry.get_package(reading(who), package_id)
        except NotFound:
            raise no_package(package_id) from None
        if package.face not in (None, FACE):
            raise no_package(package_id)
        return package

    async def page(
        self, who: Principal, permission: str, start: int, size: int | None
    ) -> Sequence[tuple[Package, bool]]:
        """Return packages that a caller has a permission for, oldest first, and whether it may write them.

        ``size`` of them, from the one at ``start`` on; None: all. No others are kept meanwhile.
        """
        shown: list[tuple[Package, bool]] = []
        place: tuple[int, str] | None = None
        skipped = 0
        while size is None or len(shown) < size:
            found = await self._registry.packages_after(who, FACE, place, _PAGE, oldest_first=True)
            if not found:
                break
            stored = await self._permissions.of_some(who.project_id, [package.id for package in found])
            for package in found:
                held = rights_in(who, package, stored.get(package.id))
                if permission not in held:
                    continue
                if skipped < start:
                    skipped += 1
                elif size is None or len(shown) < size:
                    shown.append((package, WRITE in held))
            place = (found[-1].created_at, found[-1].id)
        return shown

    async def versions(self, who: Principal, package: Package, room: Room, *, all_of_them: bool) -> Sequence[Version]:
        """Return versions, oldest first; ``all_of_them``: those that are not released, too.

        Raises NotFound, PayloadTooLarge.
        """
        found: list[Version] = []
        token = ""
        while True:
            page = await self._registry.list_versions(reading(who), package.id, _VERSIONS, token)
            for each in page.items:
                room.take(len(each.face_data or b""))
            found += page.items
            token = page.next_token
            if not token:
                break
        shown = [each for each in reversed(found) if all_of_them or each.state is VersionState.RELEASED]
        return sorted(shown, key=_created_on)

    async def version(self, package: Package, version_id: str) -> Version:
        """Return a version, whatever its state. Raises NotFound."""
        if not is_version_id(version_id):  # "-", the newest to others, is none here
            raise no_version(package.id, version_id)
        version: Version | None = None
        with suppress(NotFound):
            version = await self._registry.version(package.project_id, package.id, version_id)
        if version is None:
            raise no_version(package.id, version_id)
        return version

    async def code(self, version: Version) -> str:
        """Return the text of a version's main file. Raises NotFound."""
        files = (await self._registry.bundle(version)).files
        return files.get(_main_of(files), b"").decode(errors="replace")

    def language(self, package: Package, versions: Sequence[Version] = ()) -> Language:
        """Return what a package is written in."""
        kept = kept_package(package)
        return kept.language if kept else versions[-1].language if versions else Language.PYTHON

    # writing

    async def save(self, who: Principal, save: Save) -> Package:
        """Make a package, make a version, or overwrite one that is not released.

        Raises PermissionDenied, InvalidArgument, AlreadyExists (released; the id is another contract's), NotFound.
        """
        require(who, Scope.DEPLOY)
        package = await self._known(who, save.id) if save.id else None
        if package is None:
            try:
                return await self._create(who, save)
            except AlreadyExists:
                package = await self._known(who, save.id)  # somebody was quicker, whose wish is to be respected
                if package is None:
                    message = f"The id {save.id} is that of a package of another contract; choose another."
                    raise AlreadyExists("polycall.v1.Package", save.id, message) from None
        await self._permissions.require(who, Scope.DEPLOY, package, WRITE)
        return await self._save_version(who, package, save)

    async def update(self, who: Principal, package: Package, version_id: str, changes: Changes) -> Version:
        """Change a version that is not released; what others change meanwhile stays changed.

        Raises InvalidArgument, NotFound (version), AlreadyExists (released).
        """
        for _ in range(_ATTEMPTS):
            old = await self.version(package, version_id)
            if old.state is VersionState.RELEASED:
                raise _released(package, version_id)
            kept = kept_version(old) or _first(who, old.created_at)
            manifest = changes.manifest
            if manifest is None:
                manifest = Manifest(
                    functions=None if kept.derived else specs_of(old, kept_version(old)) or None,
                    configuration=kept.configuration,
                    aliases=kept.aliases,
                )
            code = await self.code(old) if changes.code is None else changes.code
            described = kept.description if changes.description is msgspec.UNSET else changes.description
            draft = await self._draft(
                who, package.id, version_id, old.language, code, manifest, old=old, description=described
            )
            stored = await self._registry.put_version(who, draft.version, draft.files, over=old)
            if stored is not None:
                return stored
        raise Unavailable(f"Version {version_id} of package {package.id} is being changed by others; try again.")

    async def release(self, who: Principal, package: Package, version_id: str) -> None:
        """Release a version. Raises NotFound, InvalidArgument (the working version), AlreadyExists, NotReady."""
        if version_id == WORKING:
            await self.version(package, version_id)
            message = f"{WORKING} cannot be released; save it under a version number first"
            raise InvalidArgument.of("version", message)
        try:
            await self._registry.release_version(who, package.id, version_id)
        except AlreadyExists:
            raise _released(package, version_id) from None
        except NotFound:
            raise no_version(package.id, version_id) from None

    async def delete(self, who: Principal, package: Package) -> None:
        """Delete a package with its versions. Raises NotFound."""
        await self._registry.delete_package(who, package.id)
        await self._permissions.forget(package)

    # within

    async def _known(self, who: Principal, package_id: str) -> Package | None:
        try:
            return await self.find(who, package_id)
        except NotFound:
            return None

    async def _create(self, who: Principal, save: Save) -> Package:
        missing = [name for name in ("name", "language") if getattr(save, name) is None]
        if missing or save.language is None:
            raise InvalidArgument.of(missing[0], "must be set for a new package")
        package_id = save.id or str(uuid.uuid4())
        # all that can be refused is refused before there is a package
        draft = await self._draft(
            who, package_id, save.version, save.language, save.code, save.manifest, description=save.description
        )
        kept = KeptPackage(owner=who.user_id, made=uuid.uuid4().hex, language=save.language)
        try:
            package = await self._registry.create_package(
                who,
                Package(
                    project_id=who.project_id,
                    id=package_id,
                    created_at=0,
                    updated_at=0,
                    display_name=save.name or "",
                    description=save.description or "",
                    face=FACE,
                    face_data=msgspec.json.encode(kept),
                ),
            )
        except InvalidArgument as error:
            raise reworded(error) from None
        try:
            await self._registry.put_version(who, draft.version, draft.files)
        except BaseException:
            with suppress(NotFound):  # without a version it is none; whoever saw it meanwhile may save it again
                await self._registry.delete_package(who, package_id)
            raise
        return package

    async def _save_version(self, who: Principal, package: Package, save: Save) -> Package:
        old = await self._old(package, save.version)
        language = await self._written_in(package) or save.language
        if language is None:
            raise InvalidArgument.of("language", "must be set for the first version")
        if save.language not in (None, language):
            raise InvalidArgument.of("language", f"is {language} and stays so; make a new package for another")
        if old is not None and old.state is VersionState.RELEASED:
            raise _released(package, save.version)
        draft = await self._draft(
            who, package.id, save.version, language, save.code, save.manifest, old=old, description=save.description
        )
        try:
            await self._registry.put_version(who, draft.version, draft.files)
        except AlreadyExists:  # released in this moment
            raise _released(package, save.version) from None
        return await self._named(who, package, save)

    async def _named(self, who: Principal, package: Package, save: Save) -> Package:
        """Give a package the name and description that were sent with a version, if they are others."""
        now = await self.find(who, package.id)
        told = replace(
            now,
            display_name=save.name or now.display_name,
            description=now.description if save.description is None else save.description,
        )
        return now if told == now else await self._registry.update_package(who, told)

    async def _written_in(self, package: Package) -> Language | None:
        """Return the language of a package; None as long as it has no version that would tell."""
        kept = kept_package(package)
        if kept is not None:
            return kept.language
        with suppress(NotFound):
            return (await self._registry.version(package.project_id, package.id)).language
        return None

    async def _old(self, package: Package, version_id: str) -> Version | None:
        try:
            return await self.version(package, version_id)
        except NotFound:
            return None

    async def _draft(
        self,
        who: Principal,
        package_id: str,
        version_id: str,
        language: Language,
        code: str,
        manifest: Manifest,
        *,
        old: Version | None = None,
        description: str | None = None,
    ) -> _Draft:
        """Return a version that can be kept. Raises InvalidArgument: code that does not parse, too.

        ``old`` is what it will stand in the place of; what Domo has no word for stays as it was.
        """
        check_accounts(manifest)
        there = dict((await self._registry.bundle(old)).files) if old else {}
        files = {**there, _main_of(there) or main_file(language): code.encode()}
        specs, functions = await self._functions(who, files, language, manifest, old)
        kept = None if old is None else kept_version(old) or _first(who, old.created_at)
        beside = msgspec.structs.replace(
            kept or _first(who, now_ms()),
            change=uuid.uuid4().hex,
            description=description,
            functions=specs,
            configuration=manifest.configuration,
            aliases=manifest.aliases,
            derived=manifest.functions is None,
        )
        draft = VersionDraft(
            package_id=package_id,
            id=version_id,
            files=files,
            language=language,
            functions=functions,
            limits=old.limits if old else LimitOverrides(),
            env=old.env if old else {},
            runtime=old.runtime if old else "",
            reuse=False,  # no run sees another's
            adapter=FACE,
            face_data=msgspec.json.encode(beside),
        )
        try:
            version = await self._registry.check_version(who, draft)
            if old is not None:  # sealed, as they are kept
                version = replace(version, egress=old.egress, secret_env=old.secret_env, secrets=old.secrets)
            return _Draft(version, files)
        except InvalidArgument as error:
            raise reworded(error) from None

    async def _functions(
        self, who: Principal, files: dict[str, bytes], language: Language, manifest: Manifest, old: Version | None
    ) -> tuple[tuple[FunctionSpec, ...], tuple[Function, ...]]:
        if manifest.functions is not None:
            places = {function.name: function.entrypoint for function in old.functions} if old else {}
            declared = map(engine_function, manifest.functions)
            return manifest.functions, tuple(replace(f, entrypoint=places.get(f.name, "")) for f in declared)
        found = await self._registry.analyze(
            who,
            files,
            module=None,
            language=language,
            convention=Convention.KEYWORDS,
            runtime=old.runtime if old else "",
            adapter=FACE,
        )
        if found.problems:
            raise InvalidArgument.of("code", str(found.problems[0]))
        return derive(found.functions, language)


def _first(who: Principal, at: int) -> KeptVersion:
    return KeptVersion(created_on=at, created_by=who.user_id, change="")


def _main_of(files: Mapping[str, bytes]) -> str:
    """Return the file that the vendor calls the code; "" if there is none."""
    return next((path for path in files if path.partition(".")[0] == "main"), next(iter(files), ""))


def _created_on(version: Version) -> int:
    kept = kept_version(version)
    return kept.created_on if kept else version.created_at


def no_package(package_id: str) -> NotFound:
    """Return what is raised where there is no such package."""
    message = f"Package {package_id} does not exist."
    return NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", package_id, message)


def no_version(package_id: str, version_id: str, why: str = "") -> NotFound:
    """Return what is raised where a package has no such version, to callers of this contract."""
    message = f"Package {package_id} has no version {version_id}{why and ': '}{why}."
    return NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", version_id, message)


def _released(package: Package, version_id: str) -> AlreadyExists:
    name = f"Version {version_id} of package {package.id}"
    message = f"{name} is released and cannot change; save a new version."
    return AlreadyExists("polycall.v1.Version", name, message, reason=Reason.VERSION_RELEASED)
