"""Versions and their sources as they were last read: what is called often is not read from the store each time."""

from __future__ import annotations

import time

from polycall.domain import Version, VersionState
from polycall.engine.limits import KIB, MIB
from polycall.engine.recent import Recent
from polycall.engine.renewals import CACHE_S
from polycall.quick import dataclass
from polycall.sandbox.job import Bundle

__all__ = ["LATEST", "RecentVersions"]

_CACHE_VERSION_BYTES = 32 * MIB
_CACHE_BUNDLE_BYTES = 32 * MIB
LATEST = ""  # key of the version that was made last; no version has this id


@dataclass(frozen=True, slots=True)
class _Cached:
    version: Version
    until: float  # time.monotonic


class RecentVersions:
    """Versions by project, package and id (or what stands for one), and bundles by project and digest."""

    def __init__(self) -> None:
        self._versions: Recent[tuple[str, str, str], _Cached] = Recent(_CACHE_VERSION_BYTES, _size_of_version)
        self._bundles: Recent[tuple[str, str], Bundle] = Recent(_CACHE_BUNDLE_BYTES, _size_of_bundle)
        self.changes = 0  # how often something was forgotten

    def get(self, key: tuple[str, str, str]) -> tuple[Version, float] | None:
        """Return a version and until when it may be gone by (time.monotonic); None if it was read too long ago."""
        cached = self._versions.get(key)
        return (cached.version, cached.until) if cached is not None and cached.until > time.monotonic() else None

    def remember(self, key: tuple[str, str, str], found: Version, changes: int) -> None:
        """Keep what was read after ``changes``."""
        # else what was read may be older than the change; what is being analysed changes in a moment
        if changes == self.changes and found.state is not VersionState.ANALYSING:
            self._versions.put(key, _Cached(found, time.monotonic() + CACHE_S))

    def forget(self, project_id: str, package_id: str) -> None:
        """Go by the store for a package."""
        self.changes += 1
        self._versions.drop_where(lambda key: key[:2] == (project_id, package_id))

    def forget_all(self) -> None:
        """Go by the store for every package."""
        self.changes += 1
        self._versions.drop_where(lambda key: True)

    def bundle(self, project_id: str, digest: str) -> Bundle | None:
        """Return a source; it is what its digest says, so it is never too old."""
        return self._bundles.get((project_id, digest))

    def keep_bundle(self, project_id: str, bundle: Bundle) -> None:
        """Keep a source."""
        self._bundles.put((project_id, bundle.digest), bundle)


def _size_of_version(cached: _Cached) -> int:
    """Return about how many bytes a version holds on to: hostile ones have large environments and schemas."""
    version = cached.version
    size = 2 * KIB
    for texts in (version.env, version.secret_env, version.secrets):
        size += sum(len(name) + len(value) for name, value in texts.items())
    for rule in version.egress.rules if version.egress is not None else ():
        size += KIB + sum(len(credential.secret) for credential in rule.credentials)
    for function in version.functions:
        size += KIB + len(function.description)
        size += len(function.input_schema or b"") + len(function.output_schema or b"")
        size += sum(KIB + len(parameter.default or b"") for parameter in function.parameters)
    return size


def _size_of_bundle(bundle: Bundle) -> int:
    return KIB + sum(len(path) + len(data) for path, data in bundle.files.items())
