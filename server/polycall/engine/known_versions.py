"""Versions as the verbs and the faces ask for them again and again: from the cache, if it can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polycall.domain import EgressPolicy, Function, Reason, Version
from polycall.engine.egress import egress_place, open_policy
from polycall.engine.recent_versions import LATEST, RecentVersions
from polycall.engine.renewals import Renewals
from polycall.engine.secrets import open_values
from polycall.errors import NotFound, NotReady
from polycall.names import NEWEST, FunctionName, PackageName, VersionName
from polycall.sandbox.job import Bundle, Runner
from polycall.sealing import Sealer
from polycall.store.protocol import RegistryStore

__all__ = ["KnownVersions", "not_ready"]


class KnownVersions:
    """Versions that were read lately. ``on_change`` is told of packages of which one is to be read anew."""

    def __init__(self, store: RegistryStore, runner: Runner, sealer: Sealer, renewals: Renewals | None = None) -> None:
        self._store = store
        self._runner = runner
        self._sealer = sealer
        self._recent = RecentVersions()
        self._renewals = renewals or Renewals()
        self.on_change: Callable[[str, str], None] = lambda project_id, package_id: None

    async def version(self, project_id: str, package_id: str, version_id: str | None = None) -> Version:
        """Return a version, whatever its state, from the cache if it can be. Raises NotFound."""
        wanted = version_id or NEWEST
        key = (project_id, package_id, wanted)
        cached = self._recent.get(key)
        if cached is None:
            return await self._read(key)
        found, until = cached
        self._renewals.use(key, until, lambda: self._read(key))
        return found

    async def _read(self, key: tuple[str, str, str]) -> Version:
        project_id, package_id, wanted = key
        changes = self._recent.changes
        if wanted == NEWEST:
            found = await self._store.newest_version(project_id, package_id)
            if found is None:
                name = str(PackageName(package_id))
                raise NotFound(Reason.VERSION_NOT_FOUND, "polycall.v1.Version", name, f"{name} has no version yet.")
        else:
            found = await self._store.get_version(project_id, package_id, wanted)
        self._recent.remember(key, found, changes)
        return found

    async def resolve(
        self, project_id: str, package_id: str, version_id: str | None, function: str
    ) -> tuple[Version, Function]:
        """Return a function that can be run. Raises NotFound (package, version, function) and NotReady."""
        version = await self.version(project_id, package_id, version_id)
        if not version.state.runnable:
            raise not_ready(version)
        for candidate in version.functions:
            if candidate.name == function and not candidate.private:
                return version, candidate
        name = str(FunctionName(package_id, version.id, function))
        callable_ones = ", ".join(f.name for f in version.functions if not f.private) or "none"
        raise NotFound(
            Reason.FUNCTION_NOT_FOUND,
            "polycall.v1.Function",
            name,
            f"{name} does not exist; functions of this version: {callable_ones}.",
        )

    async def bundle(self, version: Version) -> Bundle:
        """Return the source of a version, from the cache if it can be. Raises NotFound."""
        bundle = self._recent.bundle(version.project_id, version.bundle)
        if bundle is None:
            files = await self._store.get_bundle(version.project_id, version.bundle)
            bundle = Bundle(digest=version.bundle, files=files)
            self._recent.keep_bundle(version.project_id, bundle)
        return bundle

    async def latest(self, project_id: str, package_id: str) -> Version | None:
        """Return the version that was made last, whatever its state; None without versions. Raises NotFound."""
        cached = self._recent.get((project_id, package_id, LATEST))
        if cached is None:
            return await self._read_latest(project_id, package_id)
        found, until = cached
        key = (project_id, package_id, LATEST)
        self._renewals.use(key, until, lambda: self._read_latest(project_id, package_id))
        return found

    async def _read_latest(self, project_id: str, package_id: str) -> Version | None:
        changes = self._recent.changes
        found = await self._store.latest_version(project_id, package_id)
        if found is not None:
            self._recent.remember((project_id, package_id, LATEST), found, changes)
        return found

    async def heard(self, project_id: str, package_id: str, gone: str | None) -> None:
        """Go by the database for a package that was changed elsewhere; ``gone``: end what runs it, "" for all."""
        self._forget(project_id, package_id)
        if gone is not None:
            await self._runner.retire(project_id, package_id, gone or None)

    def forget_all(self) -> None:
        """Go by the database for every version: one may have been made or deleted elsewhere."""
        self._recent.forget_all()

    def egress(self, version: Version) -> EgressPolicy | None:
        """Return the policy of a version, its secrets opened. Raises FailedPrecondition without the key for them."""
        return open_policy(version.egress, self._sealer, egress_place(version.project_id, version.package_id))

    def secrets(self, version: Version) -> Mapping[str, str]:
        """Return a version's own secrets, opened. Raises FailedPrecondition without the key for them."""
        return open_values(version.secrets, self._sealer, egress_place(version.project_id, version.package_id))

    def _forget(self, project_id: str, package_id: str) -> None:
        self._recent.forget(project_id, package_id)
        self.on_change(project_id, package_id)


def not_ready(version: Version) -> NotReady:
    """Return what is raised for a version that cannot be run, or released."""
    name = str(VersionName(version.package_id, version.id))
    why = f": {version.error}" if version.error else ""
    return NotReady(
        f"{name} cannot be run (state {version.state}){why}",
        subject=name,
        metadata={"state": version.state.value, "version": name},
    )
