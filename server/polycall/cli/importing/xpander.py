"""xpander.ai: custom functions (contract, sections 3 to 6)."""

from __future__ import annotations

import re

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds, FoundPackage, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, kept
from polycall.domain import (
    Convention,
    EgressPolicy,
    EgressRule,
    Function,
    Language,
    LimitOverrides,
    Package,
    Version,
    VersionState,
)

__all__ = ["read"]

_FACE = "xpander"
_ENTRY = "xpander_run_action"
_DEFINED = re.compile(rf"^(?:async\s+)?def\s+{_ENTRY}\s*\(", re.MULTILINE)
_ID = re.compile(r"[^_/\s]+")  # clients split tool ids at `_`
_MIB = 1 << 20
_OURS = b'{"face":"xpander"}'  # what the face keeps beside each version of its own
_INTERNET = EgressPolicy(rules=(EgressRule(host="*"),))  # contract, section 7: public addresses


class _Limits(msgspec.Struct):
    max_run_time: float | None = None
    timeout: float | None = None  # the same, as it may be sent
    memory: int | None = None


class _Item(msgspec.Struct):
    id: str
    name: str
    description: str | None = None
    status: str | None = None
    limits: _Limits | None = None
    source_code: str | None = None


class _Items(msgspec.Struct):
    items: list[_Item]


def read(export: Export) -> Finds:
    """Return what an export holds. Raises Failure."""
    items = export.decode("custom_functions.json", _Items).items
    remarks: list[Remark] = []
    packages = kept(items, "function", _package, remarks)
    return Finds(packages=tuple(reversed(packages)), remarks=tuple(remarks))  # lists are newest first


def _package(item: _Item) -> FoundPackage:
    if not _ID.fullmatch(item.id):
        raise Unfit("its id has a `_`, a `/` or white space, which the vendor's clients cannot call.")
    if item.source_code is None:
        raise Unfit("the export has no source_code of it: lists have none, ask for each function by itself.")
    files = {"main.py": item.source_code.encode()}
    # the vendor does not tell the name of another entry function: then every public one is a function here
    entry = Function(name=_ENTRY, entrypoint=f"main:{_ENTRY}", convention=Convention.KEYWORDS)
    return FoundPackage(
        package=Package(
            project_id="",
            id=item.id,
            created_at=0,
            updated_at=0,
            display_name=item.name,
            description=item.description or "",
            face=_FACE,
        ),
        versions=(
            FoundVersion(
                version=Version(
                    project_id="",
                    package_id=item.id,
                    id="1",
                    state=VersionState.READY,
                    language=Language.PYTHON,
                    created_at=0,
                    bundle=bundle_digest(files),
                    functions=(entry,) if _DEFINED.search(item.source_code) else (),
                    limits=_limits(item.limits or _Limits()),
                    egress=_INTERNET,
                    face_data=_OURS,
                ),
                files=files,
            ),
        ),
    )


def _limits(limits: _Limits) -> LimitOverrides:
    seconds = limits.max_run_time if limits.max_run_time is not None else limits.timeout
    for name, number in (("max_run_time", seconds), ("memory", limits.memory)):
        if number is not None and not 0 < number < 1 << 31:
            raise Unfit(f"limits.{name} is {number:g}.")
    return LimitOverrides(
        timeout_ms=round(seconds * 1000) if seconds is not None else None,
        memory_bytes=limits.memory * _MIB if limits.memory is not None else None,
    )
