"""What code runs in: a language with the packages of a manifest, as they change over time."""

from __future__ import annotations

import enum

from polycall.domain.functions import Language
from polycall.quick import dataclass

__all__ = ["ManifestKind", "PackedEnvironment", "RevisionState", "Runtime", "RuntimeRevision"]


class ManifestKind(enum.StrEnum):
    """The file that names the packages of a runtime."""

    REQUIREMENTS_TXT = "requirements.txt"  # of pip
    PACKAGE_JSON = "package.json"  # of npm


class RevisionState(enum.StrEnum):
    """Where a runtime revision is in its life."""

    PENDING = "pending"  # waits to be built
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"  # error and log say why; a new revision is the way on

    @property
    def final(self) -> bool:
        """True once nothing can change any more."""
        return self in (RevisionState.READY, RevisionState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A language plus the packages of a manifest, as they change over time: each change is a revision."""

    project_id: str
    id: str
    language: Language
    created_at: int
    display_name: str = ""
    created_by: str | None = None
    face_data: bytes | None = None  # JSON: what a face keeps beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRevision:
    """One built environment, or what shall become one. The id is unique in its project."""

    project_id: str
    runtime_id: str
    id: str
    language: Language
    manifest_kind: ManifestKind
    manifest: str
    state: RevisionState
    created_at: int
    additional_imports: str = ""  # Python: modules to preload beside those that the manifest declares
    started_at: int | None = None
    ended_at: int | None = None
    digest: str = ""  # sha256 (hex) of what it is built from; environments of one digest are one
    size_bytes: int = 0
    file_count: int = 0
    preload: tuple[str, ...] = ()  # modules that its processes find imported
    log: str = ""
    log_truncated: bool = False
    error: str | None = None  # why the state is FAILED
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedEnvironment:
    """A built environment as one server keeps it for the others."""

    name: str  # sha256 (hex) of what it was built from: the digest of its revisions
    archive: str  # sha256 (hex) of its archive, unpacked: the same wherever it is packed
    upload: str  # where its pieces are
    pieces: int
    size_bytes: int  # as packed
    data_bytes: int  # of its files
    file_count: int  # files, links and directories
