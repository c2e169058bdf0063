"""The registry: packages and their versions, checked on the way in, cached on the way out."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from polycall.bundle import bundle_digest
from polycall.domain import (
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
from polycall.engine.analysis import Analyzer
from polycall.engine.archive import MOST_BYTES, MOST_FILES
from polycall.engine.checks import environment_violations
from polycall.engine.keys import require
from polycall.engine.limits import MIB, LimitPolicy
from polycall.engine.reader import SandboxedReader
from polycall.errors import AlreadyExists, FieldViolation, InvalidArgument, NotFound, NotReady, RuntimeMissing
from polycall.ids import now_ms
from polycall.names import NEWEST, PACKAGE_RULE, VERSION_RULE, is_package_id, is_version_id
from polycall.sandbox.job import Bundle, Runner
from polycall.store.protocol import Page, RegistryStore

__all__ = ["Registry", "VersionDraft"]

_MAX_LABELS, _MAX_LABEL_CHARS, _MAX_TEXT_CHARS = 64, 256, 4096
_CACHE_S = 30.0  # how old another replica's release may be unseen; this one's own changes are seen at once
_CACHE_VERSIONS = 1000
_CACHE_BUNDLE_BYTES = 32 * MIB
_ID_ATTEMPTS = 5  # two deployers taking the same next number at once; more than a few is not chance


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDraft:
    """A version to be: what ``Registry.create_version`` takes."""

    package_id: str
    files: Mapping[str, bytes]
    id: str = ""  # "": the next number
    language: Language = Language.PYTHON
    runtime: str = ""
    functions: tuple[Function, ...] = ()  # (): every public top-level function of the source
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    env: Mapping[str, str] = field(default_factory=dict)
    reuse: bool = True
    face_data: bytes | None = None


class Registry:
    """Packages and versions of all projects."""

    def __init__(self, store: RegistryStore, runner: Runner, limits: LimitPolicy) -> None:
        self._store = store
        self._runner = runner
        self._limits = limits
        self.analyzer = Analyzer(SandboxedReader(runner))
        self._versions: OrderedDict[tuple[str, str, str], tuple[float, Version]] = OrderedDict()
        self._bundles: OrderedDict[tuple[str, str], Bundle] = OrderedDict()
        self._bundle_bytes = 0

    # packages

    async def create_package(self, who: Principal, package: Package, *, validate_only: bool = False) -> Package:
        """Create an empty package. Raises PermissionDenied, InvalidArgument, AlreadyExists."""
        require(who, Scope.DEPLOY)
        now = now_ms()
        package = replace(package, project_id=who.project_id, created_at=now, updated_at=now)
        _check_package(package)
        return package if validate_only else await self._store.create_package(package)

    async def update_package(self, who: Principal, package: Package, *, validate_only: bool = False) -> Package:
        """Replace display name, description and labels. Raises PermissionDenied, InvalidArgument, NotFound."""
        require(who, Scope.DEPLOY)
        kept = await self._store.get_package(who.project_id, package.id)
        package = replace(package, project_id=who.project_id, created_at=kept.created_at, updated_at=now_ms())
        _check_package(package)
        return package if validate_only else await self._store.update_package(package)

    async def get_package(self, who: Principal, package_id: str) -> Package:
        """Return a package. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self._store.get_package(who.project_id, package_id)

    async def list_packages(self, who: Principal, page_size: int, page_token: str = "") -> Page[Package]:
        """Return a page, newest first. Raises PermissionDenied, InvalidArgument (page token)."""
        require(who, Scope.READ)
        return await self._store.list_packages(who.project_id, page_size, page_token)

    async def delete_package(self, who: Principal, package_id: str) -> None:
        """Delete a package and its versions; busy workers end after their run. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        await self._store.delete_package(who.project_id, package_id)
        self._forget(who.project_id, package_id)
        await self._runner.retire(who.project_id, package_id)

    # versions

    async def create_version(
        self,
        who: Principal,
        draft: VersionDraft,
        *,
        create_package: bool = False,
        release: bool = False,
        validate_only: bool = False,
    ) -> Version:
        """Check, analyse and store a version; nothing of it runs. The state is READY (or RELEASED), or ERROR with why.

        Raises PermissionDenied, InvalidArgument, LimitOutOfRange, NotFound, AlreadyExists, RuntimeMissing.
        """
        require(who, Scope.DEPLOY)
        self._check_draft(draft)
        version = await self._drafted(who, draft, release=release)
        if validate_only:
            return replace(version, id=draft.id)
        await self._ensure_package(who, draft.package_id, create=create_package)
        version = await self._stored(version, draft)
        self._forget(who.project_id, draft.package_id)
        return version

    async def get_version(self, who: Principal, package_id: str, version_id: str | None = None) -> Version:
        """Return a version; None or "-" is the newest. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self.version(who.project_id, package_id, version_id)

    async def get_source(self, who: Principal, version: Version) -> Mapping[str, bytes]:
        """Return the files of a version. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return (await self.bundle(version)).files

    async def list_versions(
        self, who: Principal, package_id: str, page_size: int, page_token: str = ""
    ) -> Page[Version]:
        """Return a page, newest first. Raises PermissionDenied, NotFound, InvalidArgument (page token)."""
        require(who, Scope.READ)
        return await self._store.list_versions(who.project_id, package_id, page_size, page_token)

    async def release_version(self, who: Principal, package_id: str, version_id: str) -> Version:
        """Release a version. Raises PermissionDenied, NotFound, NotReady, AlreadyExists (released before)."""
        require(who, Scope.DEPLOY)
        version = await self._store.get_version(who.project_id, package_id, version_id)
        if version.state not in (VersionState.READY, VersionState.RELEASED):
            raise _not_ready(version)
        version = await self._store.set_version_state(
            who.project_id, package_id, version_id, VersionState.RELEASED, released_at=now_ms()
        )
        self._forget(who.project_id, package_id)
        return version

    async def delete_version(self, who: Principal, package_id: str, version_id: str) -> None:
        """Delete a version; busy workers end after their run. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        await self._store.delete_version(who.project_id, package_id, version_id)
        self._forget(who.project_id, package_id)
        await self._runner.retire(who.project_id, package_id, version_id)

    # for the verbs and the faces

    async def version(self, project_id: str, package_id: str, version_id: str | None = None) -> Version:
        """Return a version, whatever its state, from the cache if it can be. Raises NotFound."""
        wanted = version_id or NEWEST
        key = (project_id, package_id, wanted)
        cached = self._versions.get(key)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        if wanted == NEWEST:
            found = await self._store.newest_version(project_id, package_id)
            if found is None:
                name = f"packages/{package_id}"
                raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", name, f"{name} has no version yet.")
        else:
            found = await self._store.get_version(project_id, package_id, wanted)
        self._versions[key] = (time.monotonic() + _CACHE_S, found)
        if len(self._versions) > _CACHE_VERSIONS:
            self._versions.popitem(last=False)
        return found

    async def resolve(
        self, project_id: str, package_id: str, version_id: str | None, function: str
    ) -> tuple[Version, Function]:
        """Return a function that can be run. Raises NotFound (package, version, function) and NotReady."""
        version = await self.version(project_id, package_id, version_id)
        if not version.state.runnable:
            raise _not_ready(version)
        for candidate in version.functions:
            if candidate.name == function and not candidate.private:
                return version, candidate
        name = f"packages/{package_id}/versions/{version.id}/functions/{function}"
        callable_ones = ", ".join(f.name for f in version.functions if not f.private) or "none"
        raise NotFound(
            Reason.FUNCTION_NOT_FOUND,
            "polycall.v1.Function",
            name,
            f"{name} does not exist; functions of this version: {callable_ones}.",
        )

    async def bundle(self, version: Version) -> Bundle:
        """Return the source of a version, from the cache if it can be. Raises NotFound."""
        key = (version.project_id, version.bundle)
        if key in self._bundles:
            self._bundles.move_to_end(key)
            return self._bundles[key]
        files = await self._store.get_bundle(version.project_id, version.bundle)
        bundle = Bundle(digest=version.bundle, files=files)
        if key not in self._bundles:
            self._bundles[key] = bundle
            self._bundle_bytes += _size(files)
        while self._bundle_bytes > _CACHE_BUNDLE_BYTES and len(self._bundles) > 1:
            _, dropped = self._bundles.popitem(last=False)
            self._bundle_bytes -= _size(dropped.files)
        return bundle

    # within

    def _check_draft(self, draft: VersionDraft) -> None:
        if draft.language is not Language.PYTHON:
            raise RuntimeMissing(
                f"{draft.language} is not installed on this server; it runs python.",
                subject=draft.language,
                metadata={"language": draft.language.value},
            )
        if draft.runtime not in ("", "python"):
            raise RuntimeMissing(
                f"There is no runtime {draft.runtime[:64]!r} on this server; leave it out for the default one.",
                subject="runtime",
                metadata={"runtime": draft.runtime[:64]},
            )
        wrong: list[FieldViolation] = []
        if not is_package_id(draft.package_id):
            wrong.append(FieldViolation("parent", PACKAGE_RULE))
        if draft.id and not is_version_id(draft.id):
            wrong.append(FieldViolation("version_id", VERSION_RULE))
        if not draft.files:
            wrong.append(FieldViolation("source", "must have at least one file"))
        if len(draft.files) > MOST_FILES:
            wrong.append(FieldViolation("source", f"has {len(draft.files)} files; at most {MOST_FILES}"))
        if (size := _size(draft.files)) > MOST_BYTES:
            wrong.append(FieldViolation("source", f"has {size} bytes; at most {MOST_BYTES}"))
        names: set[str] = set()
        for index, function in enumerate(draft.functions):
            if not 0 < len(function.name) <= 128 or "/" in function.name or not function.name.isprintable():
                rule = "must be 1 to 128 printable characters, no `/`"
                wrong.append(FieldViolation(f"version.functions[{index}].name", rule))
            elif function.name in names:
                wrong.append(FieldViolation(f"version.functions[{index}].name", "stands there twice"))
            names.add(function.name)
        wrong += environment_violations(draft.env, "version.env")
        if wrong:
            raise InvalidArgument(wrong)
        self._limits.resolve(draft.limits, path="version.limits")

    async def _drafted(self, who: Principal, draft: VersionDraft, *, release: bool) -> Version:
        analysis = await self.analyzer.complete(draft.files, draft.functions, draft.language)
        error = str(analysis.problems[0]) if analysis.problems else None
        state = VersionState.ERROR if error else VersionState.RELEASED if release else VersionState.READY
        now = now_ms()
        return Version(
            project_id=who.project_id,
            package_id=draft.package_id,
            id=draft.id,
            state=state,
            language=draft.language,
            created_at=now,
            bundle=bundle_digest(draft.files),
            functions=analysis.functions,
            limits=draft.limits,
            env=dict(draft.env),
            runtime=draft.runtime,
            reuse=draft.reuse,
            released_at=now if state is VersionState.RELEASED else None,
            created_by=who.key_id,
            error=error,
            face_data=draft.face_data,
        )

    async def _ensure_package(self, who: Principal, package_id: str, *, create: bool) -> None:
        try:
            await self._store.get_package(who.project_id, package_id)
        except NotFound:
            if not create:
                raise
            now = now_ms()
            package = Package(project_id=who.project_id, id=package_id, created_at=now, updated_at=now)
            try:
                await self._store.create_package(package)
            except AlreadyExists:  # another deployer was quicker; that is what was asked for
                return

    async def _stored(self, version: Version, draft: VersionDraft) -> Version:
        if draft.id:
            return await self._store.create_version(version, draft.files)
        for attempt in range(_ID_ATTEMPTS):
            number = await self._next_number(version)
            try:
                return await self._store.create_version(replace(version, id=str(number)), draft.files)
            except AlreadyExists:
                if attempt == _ID_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _next_number(self, version: Version) -> int:
        highest, token = 0, ""
        while True:
            page = await self._store.list_versions(version.project_id, version.package_id, 1000, token)
            numbers = [int(v.id) for v in page.items if v.id.isascii() and v.id.isdigit()]
            highest = max([highest, *numbers])
            token = page.next_token
            if not token:
                return highest + 1

    def _forget(self, project_id: str, package_id: str) -> None:
        for key in [k for k in self._versions if k[:2] == (project_id, package_id)]:
            del self._versions[key]


def _check_package(package: Package) -> None:
    wrong = []
    if not is_package_id(package.id):
        wrong.append(FieldViolation("package_id", PACKAGE_RULE))
    wrong += [
        FieldViolation(f"package.{name}", f"must have at most {_MAX_TEXT_CHARS} characters")
        for name in ("display_name", "description")
        if len(getattr(package, name)) > _MAX_TEXT_CHARS
    ]
    if len(package.labels) > _MAX_LABELS:
        wrong.append(FieldViolation("package.labels", f"must be at most {_MAX_LABELS}"))
    for name, value in package.labels.items():
        if not name or len(name) > _MAX_LABEL_CHARS or len(value) > _MAX_LABEL_CHARS:
            wrong.append(
                FieldViolation(f"package.labels[{name[:40]!r}]", f"must have 1 to {_MAX_LABEL_CHARS} characters")
            )
    if wrong:
        raise InvalidArgument(wrong)


def _not_ready(version: Version) -> NotReady:
    name = f"packages/{version.package_id}/versions/{version.id}"
    why = f": {version.error}" if version.error else ""
    return NotReady(
        f"{name} cannot be run (state {version.state}){why}",
        subject=name,
        metadata={"state": version.state.value, "version": name},
    )


def _size(files: Mapping[str, bytes]) -> int:
    return sum(len(data) for data in files.values())
