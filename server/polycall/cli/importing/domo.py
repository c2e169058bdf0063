"""Domo Code Engine: packages, their versions and declared functions (contract, sections 3, 4 and 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.failures import Failure
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.finds import Finds, FoundPackage, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, kept
from polycall.cli.importing.web import Web
from polycall.domain import (
    Convention,
    DeclaredType,
    Function,
    Language,
    Package,
    Parameter,
    Version,
    VersionState,
)

__all__ = ["fetch", "read"]

_FACE = "domo"
_PACKAGES = "/api/codeengine/v2/packages"
_PAGE = 100
_MOST_PAGES = 10_000
_PARTS = "functions,code,privateFunctions,name"
_FILES = {Language.PYTHON: "main.py", Language.JAVASCRIPT: "main.js"}


class _Variable(msgspec.Struct, rename="camel"):
    name: str
    type: str | None = None
    display_name: str | None = None
    is_list: bool | None = None
    list: bool | None = None  # older spelling
    nullable: bool | None = None
    allow_null: bool | None = None  # older spelling
    children: tuple[_Variable, ...] | None = None
    default_values: msgspec.Raw = msgspec.Raw(b"null")


class _Function(msgspec.Struct, rename="camel"):
    name: str
    display_name: str | None = None
    description: str | None = None
    is_private: bool | None = None
    inputs: tuple[_Variable, ...] | None = None
    output: _Variable | None = None


class _Version(msgspec.Struct, rename="camel"):
    version: str
    code: str | None = None
    language: str | None = None
    description: str | None = None
    functions: tuple[_Function, ...] | None = None
    released: str | bool | None = None
    released_on: str | None = None

    @property
    def id(self) -> str:
        return self.version


class _Package(msgspec.Struct, rename="camel"):
    id: str
    name: str
    language: str
    description: str | None = None
    versions: tuple[_Version, ...] | None = None


class _Identified(msgspec.Struct):
    id: str


def fetch(web: Web, export: Export) -> None:
    """Keep the packages of an instance, each with all of its versions. Raises Failure."""
    export.write_list("packages.json", "packages", _packages(web))


def _packages(web: Web) -> Iterator[msgspec.Raw]:
    for package in _pages(web, _PACKAGES, "name"):
        members = parsed(package, dict[str, msgspec.Raw], _PACKAGES)
        identifier = parsed(package, _Identified, _PACKAGES).id
        versions = list(_pages(web, f"{_PACKAGES}/{quote(identifier, safe='')}/versions", _PARTS))
        yield msgspec.Raw(msgspec.json.encode({**members, "versions": versions}))


def _pages(web: Web, path: str, parts: str) -> Iterator[msgspec.Raw]:
    seen: set[bytes] = set()
    for page in range(_MOST_PAGES):
        params: dict[str, str | int] = {"skip": page * _PAGE, "limit": _PAGE, "parts": parts}
        items = parsed(web.get(path, params), list[msgspec.Raw], path)
        fresh = [item for item in items if bytes(item) not in seen]
        seen.update(bytes(item) for item in fresh)
        yield from fresh
        if len(items) < _PAGE or not fresh:  # what ignores `skip` gives everything at once
            return
    raise Failure(f"{path} has more than {_MOST_PAGES} pages.")


def read(export: Export) -> Finds:
    """Return what an export holds: ``packages.json``, as fetched or the bare array of the vendor. Raises Failure."""
    where = str(export.folder / "packages.json")
    text = export.read("packages.json")
    if text.lstrip().startswith(b"{"):
        members = parsed(text, dict[str, msgspec.Raw], where)
        if "packages" not in members:
            members = {"packages": msgspec.Raw(b"[" + text + b"]")}  # one package, as the vendor answers it
        text = bytes(members["packages"])
    packages = parsed(text, list[_Package], where)
    remarks: list[Remark] = []
    found = kept(packages, "package", lambda item: _package(item, remarks), remarks)
    return Finds(packages=tuple(found), remarks=tuple(remarks))


def _package(package: _Package, remarks: list[Remark]) -> FoundPackage:
    if "/" in package.id:
        raise Unfit("its id has a `/`.")
    language = _language(package.language)
    own: list[Remark] = []
    versions = kept(package.versions or (), "version", lambda item: _version(package, item, language), own)
    remarks += (replace(remark, id=f"{package.id} {remark.id}") for remark in own)
    return FoundPackage(
        package=Package(
            project_id="",
            id=package.id,
            created_at=0,
            updated_at=0,
            display_name=package.name,
            description=package.description or "",
            face=_FACE,
        ),
        versions=tuple(versions),  # the vendor lists the oldest first
    )


def _version(package: _Package, version: _Version, language: Language) -> FoundVersion:
    if version.code is None:
        raise Unfit("the export has no code of it: was it asked for with parts=code?")
    if version.language is not None and _language(version.language) is not language:
        raise Unfit(f"it is written in {version.language}, its package in {package.language}.")
    files = {_FILES[language]: version.code.encode()}
    return FoundVersion(
        version=Version(
            project_id="",
            package_id=package.id,
            id=version.version,
            state=VersionState.READY,
            language=language,
            created_at=0,
            bundle=bundle_digest(files),
            functions=tuple(_function(function) for function in version.functions or ()),
        ),
        files=files,
        release=bool(version.released or version.released_on),
    )


def _function(function: _Function) -> Function:
    return Function(
        name=function.name,
        entrypoint=f"main:{function.name}",
        # a function that declares no inputs takes what it gets
        convention=Convention.PARAMETERS if function.inputs else Convention.KEYWORDS,
        parameters=_parameters(function.inputs or ()),
        output=_declared(function.output) if function.output is not None else None,
        display_name=function.display_name or "",
        description=function.description or "",
        private=bool(function.is_private) or function.name.startswith("_"),
    )


def _parameters(variables: tuple[_Variable, ...]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name=variable.name,
            declared=_declared(variable),
            default=_default(variable),
            display_name=variable.display_name or "",
        )
        for variable in variables
    )


def _default(variable: _Variable) -> bytes | None:
    """Return a default; the only item of a list stands for a value that is no list."""
    text = bytes(variable.default_values).strip()
    if text.startswith(b"[") and not (variable.is_list or variable.list):
        items = parsed(text, list[msgspec.Raw], f"the default of {variable.name}")
        if len(items) < 2:
            return bytes(items[0]) if items else None
    return None if text == b"null" else text


def _declared(variable: _Variable) -> DeclaredType:
    return DeclaredType(
        type=variable.type or "",
        is_list=bool(variable.is_list or variable.list),
        nullable=bool(variable.nullable or variable.allow_null),
        children=_parameters(variable.children or ()),
    )


def _language(text: str) -> Language:
    for language in _FILES:
        if text.lower() == language.value:
            return language
    raise Unfit(f"it is written in {text!r}; polycall runs Python and JavaScript packages.")
