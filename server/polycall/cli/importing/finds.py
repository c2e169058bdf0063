"""What an export holds, in polycall's own words: what a writer writes, whichever vendor it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from polycall.domain import Package, Runtime, RuntimeRevision, Version
from polycall.quick import dataclass

__all__ = ["Finds", "FoundPackage", "FoundRuntime", "FoundSchedule", "FoundSecret", "FoundVersion", "Remark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVersion:
    """A version as it shall be; ``version.bundle`` is the digest of ``files``. Of its secrets the names are known."""

    version: Version
    files: Mapping[str, bytes]
    release: bool = False
    secret_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPackage:
    """A package and its versions, oldest first."""

    package: Package
    versions: tuple[FoundVersion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRuntime:
    """A runtime and its revisions, oldest first."""

    runtime: Runtime
    revisions: tuple[RuntimeRevision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSecret:
    """A secret of which only id and name are known: no vendor tells values."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSchedule:
    """A schedule of a function, in UTC. ``paused``: why it must not run yet; "" if it may. ``face``: which shows it."""

    id: str
    package_id: str
    function: str
    cron: str
    display_name: str = ""
    description: str = ""
    input_json: str = ""
    paused: str = ""
    face: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is not taken along, and why. ``refused``: an object that was used there cannot be here."""

    kind: str
    id: str
    text: str
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finds:
    """All of an export."""

    runtimes: tuple[FoundRuntime, ...] = ()
    secrets: tuple[FoundSecret, ...] = ()
    packages: tuple[FoundPackage, ...] = ()
    schedules: tuple[FoundSchedule, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def only(self, ids: Collection[str]) -> Finds:
        """Return the packages with these ids or aliases, and what they need: their runtimes and schedules."""
        packages = tuple(p for p in self.packages if not {p.package.id, p.package.alias}.isdisjoint(ids))
        kept = {p.package.id for p in packages}
        used = {v.version.runtime for p in packages for v in p.versions}
        return replace(
            self,
            packages=packages,
            runtimes=tuple(r for r in self.runtimes if any(_name(revision) in used for revision in r.revisions)),
            schedules=tuple(s for s in self.schedules if s.package_id in kept),
            remarks=tuple(r for r in self.remarks if r.id in ids or r.id in kept),
        )


def _name(revision: RuntimeRevision) -> str:
    from polycall.names import RevisionName

    return str(RevisionName(revision.runtime_id, revision.id))
