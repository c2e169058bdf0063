"""Guance, that is DataFlux Func: published scripts, and what their script sets require (contract, sections 4 and 9)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds, FoundPackage, FoundRuntime, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, Useless, kept
from polycall.domain import (
    Convention,
    Function,
    Language,
    ManifestKind,
    Package,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Version,
    VersionState,
)
from polycall.errors import InvalidArgument
from polycall.names import RevisionName
from polycall.runtimes.manifest import parse_manifest

__all__ = ["read"]

_FACE = "guance"
_SET = re.compile(r"(?!.*__)[A-Za-z_][A-Za-z0-9_]{0,63}")
_SCRIPT = re.compile(r"(?P<set>.+?)__(?P<name>[A-Za-z0-9_]+)", re.ASCII)


class _Set(msgspec.Struct):
    id: str
    title: str | None = None
    requirements: str | None = None


class _Script(msgspec.Struct, rename="camel"):
    id: str
    title: str | None = None
    description: str | None = None
    code: str | None = None
    code_draft: str | None = None
    publish_version: int | None = None


class _Func(msgspec.Struct, rename="camel"):
    name: str
    script_id: str
    title: str | None = None
    description: str | None = None
    definition: str | None = None
    category: str | None = None
    integration: str | None = None
    tags: list[str] | None = msgspec.field(default=None, name="tagsJSON")
    args: list[str] | None = msgspec.field(default=None, name="argsJSON")
    kwargs: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="kwargsJSON")
    extra: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="extraConfigJSON")


class _Funcs(msgspec.Struct):
    funcs: list[_Func] = []


class _Sets(msgspec.Struct, rename="camel"):
    script_sets: list[_Set] = []


class _Scripts(msgspec.Struct):
    scripts: list[_Script]


def read(export: Export) -> Finds:
    """Return what an export holds. Raises Failure."""
    scripts = export.decode("scripts.json", _Scripts).scripts
    sets = export.decode("script_sets.json", _Sets, _Sets()).script_sets
    remarks: list[Remark] = []
    runtimes = {found.runtime.id: found for found in kept(sets, "script set", _runtime, remarks) if found is not None}
    funcs = export.decode("funcs.json", _Funcs, _Funcs()).funcs
    packages = kept(scripts, "script", lambda item: _package(item, runtimes, funcs), remarks)
    remarks += (
        Remark(kind="script", id=script.id, text="its draft, which is not published, stays.")
        for script in scripts
        if script.code and script.code_draft and script.code_draft != script.code
    )
    return Finds(runtimes=tuple(runtimes.values()), packages=tuple(packages), remarks=tuple(remarks))


def _runtime(script_set: _Set) -> FoundRuntime | None:
    """Return the runtime of a script set that requires packages; None of another."""
    if not _SET.fullmatch(script_set.id):
        raise Unfit("its id must be 1 to 64 letters, digits and single `_`, not beginning with a digit.")
    try:
        manifest = parse_manifest(ManifestKind.REQUIREMENTS_TXT, script_set.requirements or "", "requirements")
    except InvalidArgument as error:
        raise Unfit(f"its {error.message}.") from None
    if not manifest.text:
        return None
    runtime_id = _runtime_id(script_set.id)
    return FoundRuntime(
        runtime=Runtime(
            project_id="",
            id=runtime_id,
            language=Language.PYTHON,
            created_at=0,
            display_name=script_set.title or script_set.id,
        ),
        revisions=(
            RuntimeRevision(
                project_id="",
                runtime_id=runtime_id,
                id=f"{runtime_id}-1",
                language=Language.PYTHON,
                manifest_kind=ManifestKind.REQUIREMENTS_TXT,
                manifest=manifest.text,
                state=RevisionState.PENDING,
                created_at=0,
            ),
        ),
    )


def _package(script: _Script, runtimes: Mapping[str, FoundRuntime], funcs: Sequence[_Func]) -> FoundPackage:
    named = _SCRIPT.fullmatch(script.id)
    if named is None or not _SET.fullmatch(named["set"]):
        raise Unfit("its id must be SCRIPTSET__SCRIPT, of letters, digits and `_`.")
    if not script.code:
        raise Useless("it was never published there: nobody could call it.")
    files = {f"{script.id}.py": script.code.encode()}  # tracebacks name it, and other scripts import it so
    runtime = runtimes.get(_runtime_id(named["set"]))
    # a script that has registered none, or an export without: then all that are public are functions
    mine = [func for func in funcs if func.script_id == script.id]
    return FoundPackage(
        package=Package(
            project_id="",
            id=script.id,
            created_at=0,
            updated_at=0,
            display_name=script.title or "",
            description=script.description or "",
            face=_FACE,
        ),
        versions=(
            FoundVersion(
                version=Version(
                    project_id="",
                    package_id=script.id,
                    id=str(script.publish_version or 1),
                    state=VersionState.READY,
                    language=Language.PYTHON,
                    created_at=0,
                    bundle=bundle_digest(files),
                    functions=tuple(_function(func) for func in mine),
                    face_data=_published(script.code, mine) if mine else None,
                    runtime=_revision(runtime) if runtime is not None else "",
                ),
                files=files,
                release=True,
            ),
        ),
    )


def _function(func: _Func) -> Function:
    return Function(
        name=func.name,
        entrypoint=f"{func.script_id}:{func.name}",
        convention=Convention.KEYWORDS,
        display_name=func.title or "",
        description=func.description or "",
    )


def _published(code: str, funcs: Sequence[_Func]) -> bytes:
    """Return what Guance's contract keeps beside a version: what its functions were registered with."""
    shown = [
        {
            "name": func.name,
            "title": func.title,
            "description": func.description,
            "definition": func.definition or "",
            "category": func.category,
            "integration": func.integration,
            "tagsJSON": func.tags,
            "argsJSON": func.args or [],
            "kwargsJSON": func.kwargs or {},
            "extraConfigJSON": func.extra,
        }
        for func in funcs
    ]
    digest = hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()  # by which clients tell texts apart
    return msgspec.json.encode({"code_md5": digest, "funcs": shown})


def _revision(found: FoundRuntime) -> str:
    return str(RevisionName(found.runtime.id, found.revisions[0].id))


def _runtime_id(script_set: str) -> str:
    return f"guance-{script_set}"
