"""What holds code: packages and their versions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field

from polycall.domain.egress import EgressPolicy
from polycall.domain.functions import Function, Language
from polycall.domain.limits import DEFAULT_WARM, LimitOverrides, WarmPolicy
from polycall.quick import dataclass

__all__ = ["Package", "Version", "VersionState"]


class VersionState(enum.StrEnum):
    """Where a version is in its life."""

    DRAFT = "draft"
    ANALYSING = "analysing"
    READY = "ready"
    RELEASED = "released"
    ERROR = "error"

    @property
    def runnable(self) -> bool:
        """True if its functions can be run."""
        return self in (VersionState.READY, VersionState.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An immutable snapshot of a package."""

    project_id: str
    package_id: str
    id: str
    state: VersionState
    language: Language
    created_at: int
    bundle: str  # sha256 (hex) of the stored source bundle
    functions: tuple[Function, ...] = ()
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)  # variable -> id of the secret that is its value
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # HANDLE: by name, sealed
    egress: EgressPolicy | None = None  # its secrets are sealed
    runtime: str = ""  # runtimes/{runtime}/revisions/{revision}; "" = the server's default of the language
    reuse: bool = True  # False: every run gets a fresh process
    adapter: str = ""  # what of a face its runs get, if they name none; "": nothing
    warm: WarmPolicy = DEFAULT_WARM
    released_at: int | None = None  # while ANALYSING: it shall be released once it can be
    created_by: str | None = None
    error: str | None = None  # why the state is ERROR
    face_data: bytes | None = None  # JSON: what a face keeps beside it
    request_id: str | None = None  # what it was asked for with; no other of its package has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A named thing that holds code. The id is what callers and faces call it.

    ``face`` made it and lists it; None: the native contract. ``alias`` is another id that the face has for it, unique
    in its project and face. ``face_data``: JSON of what the vendor's object has and a package has not; the engine never
    looks into it.
    """

    project_id: str
    id: str
    created_at: int
    updated_at: int
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    face: str | None = None
    alias: str | None = None
    face_data: bytes | None = None
