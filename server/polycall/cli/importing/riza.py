"""Riza: tools, runtimes, the names of secrets (contract, sections 3 to 6)."""

from __future__ import annotations

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds, FoundPackage, FoundRuntime, FoundSecret, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, Useless, check_id, kept
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
from polycall.names import RevisionName

__all__ = ["read"]

_FACE = "riza"
_ANYTHING = b"{}"
_FILES = {Language.PYTHON: "main.py", Language.JAVASCRIPT: "main.js", Language.TYPESCRIPT: "main.ts"}


class _Tool(msgspec.Struct):
    id: str
    code: str
    language: str
    name: str
    revision_id: str
    description: str | None = None
    input_schema: msgspec.Raw = msgspec.Raw(_ANYTHING)
    runtime_revision_id: str | None = None


class _Manifest(msgspec.Struct):
    name: str
    contents: str


class _Revision(msgspec.Struct):
    id: str
    manifest_file: _Manifest
    runtime_id: str
    status: str
    additional_python_imports: str | None = None


class _Runtime(msgspec.Struct):
    id: str
    language: str
    name: str
    engine: str | None = None


class _Secret(msgspec.Struct):
    id: str
    name: str


class _Tools(msgspec.Struct):
    tools: list[_Tool]


class _Runtimes(msgspec.Struct):
    runtimes: list[_Runtime] = []


class _Revisions(msgspec.Struct):
    revisions: list[_Revision] = []


class _Secrets(msgspec.Struct):
    secrets: list[_Secret] = []


def read(export: Export) -> Finds:
    """Return what an export holds. Raises Failure."""
    tools = export.decode("tools.json", _Tools).tools
    runtimes = export.decode("runtimes.json", _Runtimes, _Runtimes()).runtimes
    revisions = export.decode("revisions.json", _Revisions, _Revisions()).revisions
    secrets = export.decode("secrets.json", _Secrets, _Secrets()).secrets
    remarks: list[Remark] = []
    found_runtimes = kept(runtimes, "runtime", lambda item: _runtime(item, revisions, remarks), remarks)
    names = {
        revision.id: str(RevisionName(revision.runtime_id, revision.id))
        for found in found_runtimes
        for revision in found.revisions
    }
    packages = kept(tools, "tool", lambda item: _package(item, names), remarks)
    found_secrets = kept(secrets, "secret", lambda item: FoundSecret(id=item.id, name=item.name), remarks)
    # lists are newest first, and so are those of polycall: what is made first is the oldest
    return Finds(
        runtimes=tuple(reversed(found_runtimes)),
        secrets=tuple(reversed(found_secrets)),
        packages=tuple(reversed(packages)),
        remarks=tuple(remarks),
    )


def _runtime(runtime: _Runtime, revisions: list[_Revision], remarks: list[Remark]) -> FoundRuntime:
    language = _language(runtime.language)
    mine = [revision for revision in revisions if revision.runtime_id == runtime.id]
    found = kept(mine, "revision", lambda item: _revision(item, language), remarks)
    return FoundRuntime(
        runtime=Runtime(project_id="", id=runtime.id, language=language, created_at=0, display_name=runtime.name),
        revisions=tuple(reversed(found)),
    )


def _revision(revision: _Revision, language: Language) -> RuntimeRevision:
    kind = ManifestKind.REQUIREMENTS_TXT if language is Language.PYTHON else ManifestKind.PACKAGE_JSON
    if revision.status != "succeeded":
        raise Useless(f"its status is {revision.status!r} there: only what was built there is built here.")
    if revision.manifest_file.name != kind.value:
        raise Unfit(f"its manifest is {revision.manifest_file.name!r}; for {language} it must be {kind.value}.")
    return RuntimeRevision(
        project_id="",
        runtime_id=revision.runtime_id,
        id=revision.id,
        language=language,
        manifest_kind=kind,
        manifest=revision.manifest_file.contents,
        state=RevisionState.PENDING,
        created_at=0,
        additional_imports=revision.additional_python_imports or "",
    )


def _package(tool: _Tool, runtimes: dict[str, str]) -> FoundPackage:
    language = _language(tool.language)
    check_id(tool.revision_id, "its revision_id")
    if tool.runtime_revision_id and tool.runtime_revision_id not in runtimes:
        raise Unfit(f"its runtime revision {tool.runtime_revision_id!r} is not in the export, or was not built there.")
    files = {_FILES[language]: tool.code.encode()}
    schema = _schema(tool)
    function = Function(
        name="execute",
        entrypoint="main:execute",
        convention=Convention.INPUT,
        input_schema=None if schema == _ANYTHING else schema,
    )
    version = Version(
        project_id="",
        package_id=tool.id,
        id=tool.revision_id,
        state=VersionState.READY,
        language=language,
        created_at=0,
        bundle=bundle_digest(files),
        functions=(function,),
        runtime=runtimes[tool.runtime_revision_id] if tool.runtime_revision_id else "",
        face_data=b'{"input_schema":%s}' % schema,
    )
    package = Package(
        project_id="",
        id=tool.id,
        created_at=0,
        updated_at=0,
        display_name=tool.name,
        description=tool.description or "",
        face=_FACE,
        face_data=msgspec.json.encode({"revision_id": tool.revision_id}),  # the current one
    )
    return FoundPackage(package=package, versions=(FoundVersion(version=version, files=files, release=True),))


def _schema(tool: _Tool) -> bytes:
    schema = bytes(tool.input_schema).strip()
    if schema == b"null":
        return _ANYTHING
    if not schema.startswith(b"{"):
        raise Unfit("its input_schema is no JSON Schema, which is an object.")
    return schema


def _language(text: str) -> Language:
    try:
        return Language(text.lower())
    except ValueError:
        raise Unfit(f"it is written in {text!r}; polycall runs {', '.join(Language)}.") from None
