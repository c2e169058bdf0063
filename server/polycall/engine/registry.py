"""The registry: packages and their versions, checked on the way in, cached on the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from polycall.bundle import bundle_digest
from polycall.domain import (
    Convention,
    Language,
    Package,
    Principal,
    Reason,
    Scope,
    Version,
    VersionState,
)
from polycall.engine.adapters import Adapter
from polycall.engine.analyses import Analyses
from polycall.engine.analysis import Analyzer
from polycall.engine.drafts import VersionDraft, check_draft
from polycall.engine.egress import egress_place, seal_policy
from polycall.engine.findings import Analysis
from polycall.engine.importing import SandboxedImporter
from polycall.engine.javascript import ModuleReader
from polycall.engine.keys import require
from polycall.engine.known_versions import KnownVersions, not_ready
from polycall.engine.limits import LimitPolicy
from polycall.engine.packages import Packages
from polycall.engine.reader import SandboxedReader
from polycall.engine.renewals import Renewals
from polycall.engine.revisions import Revisions
from polycall.engine.rules import Rules
from polycall.engine.runtimes import Runtimes
from polycall.engine.script_types import SandboxedScriptTypes
from polycall.engine.scripts import ScriptAnalyzer
from polycall.engine.secrets import seal_values
from polycall.engine.siblings import ALONE, PackageChanged, Siblings
from polycall.engine.tasks import through
from polycall.engine.turns import ProjectTurns, Turns
from polycall.engine.version_analysis import VersionAnalysis, failed
from polycall.errors import AlreadyExists, InvalidArgument, NotFound
from polycall.ids import now_ms
from polycall.names import PackageName
from polycall.sandbox.job import Runner
from polycall.sealing import Sealer
from polycall.store.protocol import Page, RegistryStore

__all__ = ["Registry", "VersionDraft"]

_NO_WAIT_S = 0.1


class Registry(Packages, KnownVersions):
    """Packages and versions of all projects.

    ``parser`` returns the directory of what reads the types of scripts; ``rules``: what a face, by its name, asks of
    the source of its packages.
    """

    def __init__(
        self,
        store: RegistryStore,
        runner: Runner,
        limits: LimitPolicy,
        runtimes: Runtimes,
        sealer: Sealer,
        siblings: Siblings = ALONE,
        parser: Callable[[], Path] | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        rules: Mapping[str, Rules] | None = None,
        renewals: Renewals | None = None,
    ) -> None:
        Packages.__init__(self, store)
        KnownVersions.__init__(self, store, runner, sealer, renewals)
        self._adapters = adapters or {}
        self._siblings = siblings
        self._limits = limits
        self.runtimes = runtimes
        turns = Turns()
        self._turns = ProjectTurns()
        types = SandboxedScriptTypes(runner, parser, turns) if parser is not None else None
        self.analyzer = Analyzer(
            SandboxedReader(runner, turns),
            SandboxedImporter(runner, turns),
            ScriptAnalyzer(ModuleReader(runner, turns), types),
        )
        self._analysis = VersionAnalysis(store, self.analyzer, runtimes, self._adapters, rules or {})
        self.revisions = Revisions(self, store, limits)
        self.analyses = Analyses(store.analysing_versions, self._analyze, self._give_up)

    # packages

    async def delete_package(self, who: Principal, package_id: str) -> None:
        """Delete a package and its versions; busy workers end after their run. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        await through(self._delete(who.project_id, package_id))

    # versions

    async def create_version(
        self,
        who: Principal,
        draft: VersionDraft,
        *,
        create_package: bool = False,
        release: bool = False,
        validate_only: bool = False,
        analyze_later: bool = False,
    ) -> Version:
        """Check, analyse and store a version; nothing of it runs. The state is READY (or RELEASED), or ERROR with why.

        With ``analyze_later`` it is ANALYSING until its analysis, which outlives this server, has ended.
        Raises PermissionDenied, InvalidArgument, LimitOutOfRange, NotFound, AlreadyExists (also if there is one of its
        request id: ``version_of_request``), RuntimeMissing, QueueFull.
        """
        require(who, Scope.DEPLOY)
        check_draft(draft, self._limits, self._runner.languages)
        draft = replace(draft, runtime=await self.runtimes.pinned(who.project_id, draft.runtime, draft.language))
        draft = await self._lent_to(who.project_id, draft, missing=create_package)
        version = self._draft_version(who, draft, release=release)
        if analyze_later and not validate_only:
            self.analyses.check_room(who.project_id)
            return await through(self._keep(version, draft))
        async with self._turns.turn(who.project_id):
            version = await self._analysis.analyzed(version, draft.files)
        if validate_only:
            return version
        return await through(self._keep(version, draft))

    async def check_version(self, who: Principal, draft: VersionDraft) -> Version:
        """Return a version as ``put_version`` takes it, analysed; nothing is stored. Without functions it has none.

        Raises PermissionDenied, InvalidArgument (also for a source that does not parse), LimitOutOfRange, NotFound and
        RuntimeMissing (runtime), QueueFull, Internal.
        """
        require(who, Scope.DEPLOY)
        check_draft(draft, self._limits, self._runner.languages)
        draft = replace(draft, runtime=await self.runtimes.pinned(who.project_id, draft.runtime, draft.language))
        version = self._draft_version(who, draft, release=False)
        if not draft.functions:
            return replace(version, state=VersionState.READY)
        async with self._turns.turn(who.project_id):
            version = await self._analysis.analyzed(version, draft.files)
        if version.error:
            raise InvalidArgument.of("source", version.error)
        return version

    async def put_version(
        self, who: Principal, version: Version, files: Mapping[str, bytes], *, over: Version | None = None
    ) -> Version | None:
        """Keep what ``check_version`` returned, new or in place of a version that is not released.

        ``over``: in place of this very version only; None is returned if it was changed since it was read. Raises
        PermissionDenied, NotFound (package; version, if it is to be there), AlreadyExists (released).
        """
        require(who, Scope.DEPLOY)
        return await through(self._put(version, files, over))

    async def analyze(
        self,
        who: Principal,
        files: Mapping[str, bytes],
        *,
        module: str | None,
        language: Language,
        convention: Convention,
        runtime: str,
        adapter: str = "",
    ) -> Analysis:
        """Return what functions a source has; nothing is stored. ``adapter``: what of a face its runs will have.

        Raises PermissionDenied, InvalidArgument and NotFound and RuntimeMissing (runtime), QueueFull, Internal.
        """
        require(who, Scope.DEPLOY)
        pinned = await self.runtimes.pinned(who.project_id, runtime, language)
        around = await self._analysis.around(who.project_id, pinned, language, {}, adapter)
        async with self._turns.turn(who.project_id):
            return await self.analyzer.analyze(
                files, module=module, language=language, convention=convention, around=around
            )

    async def get_version(self, who: Principal, package_id: str, version_id: str | None = None) -> Version:
        """Return a version; None or "-" is the newest. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        return await self.version(who.project_id, package_id, version_id)

    async def version_of_request(self, who: Principal, package_id: str, request_id: str) -> Version:
        """Return the version that was made for a request, by whichever server. Raises PermissionDenied, NotFound."""
        require(who, Scope.READ)
        found = await self._store.version_of_request(who.project_id, package_id, request_id)
        if found is None:
            name = str(PackageName(package_id))
            raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", name)
        return found

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
            raise not_ready(version)
        return await through(self._release(who.project_id, package_id, version_id))

    async def delete_version(self, who: Principal, package_id: str, version_id: str) -> None:
        """Delete a version; busy workers end after their run. Raises PermissionDenied, NotFound."""
        require(who, Scope.DEPLOY)
        await through(self._delete(who.project_id, package_id, version_id))

    # for the faces and revisions

    async def drafted(self, who: Principal, draft: VersionDraft) -> Version:
        """Return a version that is ANALYSING once it is kept (``store`` it, then tell ``kept``).

        Raises InvalidArgument, LimitOutOfRange, NotFound and RuntimeMissing (runtime), QueueFull.
        """
        check_draft(draft, self._limits, self._runner.languages)
        self.analyses.check_room(who.project_id)
        pinned = await self.runtimes.pinned(who.project_id, draft.runtime, draft.language)
        return self._draft_version(who, replace(draft, runtime=pinned), release=False)

    async def kept(self, version: Version) -> None:
        """Go by a version that was stored: everybody sees it, and it is analysed if it is to be."""
        await self._changed(version.project_id, version.package_id)
        self._take_up(version)

    # within

    async def _lent_to(self, project_id: str, draft: VersionDraft, *, missing: bool) -> VersionDraft:
        """Return a draft of a face's package with what that face lends. Raises NotFound, unless it may be missing."""
        try:
            package = await self._store.get_package(project_id, draft.package_id)
        except NotFound:
            if missing:
                return draft
            raise
        if not draft.adapter and package.face is not None and package.face in self._adapters:
            return replace(draft, adapter=package.face)
        return draft

    async def _changed(self, project_id: str, package_id: str, gone: str | None = None) -> None:
        await self.heard(project_id, package_id, gone)
        await self._siblings.tell(PackageChanged(project_id, package_id, gone))

    async def _analyze(self, project_id: str, package_id: str, version_id: str) -> None:
        """Analyse a version that is kept as ANALYSING. Raises QueueFull, Internal, Unavailable: to be tried again."""
        try:
            version = await self._store.get_version(project_id, package_id, version_id)
            if version.state is not VersionState.ANALYSING:
                return
            files = await self._store.get_bundle(project_id, version.bundle)
        except NotFound:
            return
        # other projects wait behind this one: if its turn is taken, theirs come first
        async with self._turns.turn(project_id, _NO_WAIT_S):
            analyzed = await self._analysis.analyzed(version, files)
        await through(self._finish(analyzed))

    async def _give_up(self, project_id: str, package_id: str, version_id: str, why: str) -> None:
        """Say that a version that is kept as ANALYSING cannot be analysed. Raises Unavailable."""
        with suppress(NotFound):
            version = await self._store.get_version(project_id, package_id, version_id)
            if version.state is VersionState.ANALYSING:
                await through(self._finish(failed(version, why, version.functions)))

    # changes, each run to its end: what the database has committed must be seen here, whoever goes away meanwhile

    async def _keep(self, version: Version, draft: VersionDraft) -> Version:
        if (made := await self._with_package(version, draft.files)) is None:
            made = await self._store.create_version(version, draft.files)
        await self.kept(made)
        return made

    async def _put(self, version: Version, files: Mapping[str, bytes], over: Version | None) -> Version | None:
        if over is None:
            kept: Version | None = await self._store.put_version(version, files)
        else:
            kept = await self._store.swap_version(version, files, over)
        if kept is None:
            self._forget(version.project_id, version.package_id)  # what is there now is read anew
        else:
            await self._changed(kept.project_id, kept.package_id, kept.id)
        return kept

    async def _finish(self, version: Version) -> None:
        await self._store.finish_analysis(version)
        await self._changed(version.project_id, version.package_id)

    def _take_up(self, version: Version) -> None:
        if version.state is VersionState.ANALYSING:
            self.analyses.add(version.project_id, version.package_id, version.id)

    async def _release(self, project_id: str, package_id: str, version_id: str) -> Version:
        version = await self._store.set_version_state(
            project_id, package_id, version_id, VersionState.RELEASED, released_at=now_ms()
        )
        await self._changed(project_id, package_id)
        return version

    async def _delete(self, project_id: str, package_id: str, version_id: str | None = None) -> None:
        if version_id is None:
            await self._store.delete_package(project_id, package_id)
        else:
            await self._store.delete_version(project_id, package_id, version_id)
        await self._changed(project_id, package_id, version_id or "")

    async def _with_package(self, version: Version, files: Mapping[str, bytes]) -> Version | None:
        """Make the package of a version together with it; None if there is one."""
        try:
            await self._store.get_package(version.project_id, version.package_id)
        except NotFound:
            at = version.created_at
            package = Package(project_id=version.project_id, id=version.package_id, created_at=at, updated_at=at)
            first = replace(version, id=version.id or "1")
            with suppress(AlreadyExists):  # another deployer was quicker; that is what was asked for
                return await self._store.create_with_version(package, first, files)
        return None

    def _draft_version(self, who: Principal, draft: VersionDraft, *, release: bool) -> Version:
        """Return a version as it is before its analysis."""
        now = now_ms()
        place = egress_place(who.project_id, draft.package_id)
        return Version(
            project_id=who.project_id,
            package_id=draft.package_id,
            id=draft.id,
            state=VersionState.ANALYSING,
            language=draft.language,
            created_at=now,
            bundle=bundle_digest(draft.files),
            functions=draft.functions,
            limits=draft.limits,
            env=dict(draft.env),
            secret_env=dict(draft.secret_env),
            secrets=seal_values(draft.secrets, self._sealer, place),
            egress=seal_policy(draft.egress, self._sealer, place),
            runtime=draft.runtime,
            reuse=draft.reuse,
            adapter=draft.adapter,
            warm=draft.warm,
            released_at=now if release else None,
            created_by=who.key_id,
            face_data=draft.face_data,
            request_id=draft.request_id,
        )
