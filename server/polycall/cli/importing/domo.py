"""Domo Code Engine: packages, their versions and declared functions (contract, sections 3, 4 and 8)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.importing.domo_functions import FunctionSpec, engine_function, shown_function
from polycall.cli.importing.export import Export, parsed
from polycall.cli.importing.finds import Finds, FoundPackage, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, kept
from polycall.domain import Language, Package, Version, VersionState

__all__ = ["read"]

_FACE = "domo"
_LAST_MS = 253_402_300_799_999  # the year 9999
_FILES = {Language.PYTHON: "main.py", Language.JAVASCRIPT: "main.js"}


class _Configuration(msgspec.Struct, rename="camel"):
    accounts_mapping: tuple[msgspec.Raw, ...] | None = None
    ml_model: tuple[msgspec.Raw, ...] | None = None


class _Version(msgspec.Struct, rename="camel"):
    version: str
    code: str | None = None
    language: str | None = None
    description: str | None = None
    functions: tuple[FunctionSpec, ...] | None = None
    configuration: _Configuration | None = None
    account_alias_configuration: tuple[msgspec.Raw, ...] | None = None
    created_on: str | int | None = None
    created_by: str | int | None = None
    released: str | bool | None = None
    released_on: str | int | None = None

    @property
    def id(self) -> str:
        return self.version


class _Package(msgspec.Struct, rename="camel"):
    id: str
    name: str
    language: str
    description: str | None = None
    versions: tuple[_Version, ...] | None = None


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
    numbered = {id(version): number for number, version in enumerate(package.versions or ())}
    versions = kept(
        package.versions or (), "version", lambda item: _version(package, item, language, numbered[id(item)]), own
    )
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


def _version(package: _Package, version: _Version, language: Language, number: int) -> FoundVersion:
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
            functions=tuple(engine_function(function) for function in version.functions or ()),
            reuse=False,  # no run sees another's
            face_data=_beside(version, number) if version.functions else None,
        ),
        files=files,
        release=bool(version.released or version.released_on),
    )


def _beside(version: _Version, number: int) -> bytes:
    """Return what Domo's contract keeps beside a version: what is shown of it and has no other place here."""
    configuration = version.configuration or _Configuration()
    shown = {
        "created_on": _milliseconds(version.created_on, number),  # the order of versions
        "created_by": str(version.created_by or 0),
        "description": version.description,
        "functions": [shown_function(function) for function in version.functions or ()],
        "configuration": {
            "accountsMapping": configuration.accounts_mapping or (),
            "mlModel": configuration.ml_model or (),
        },
        "aliases": version.account_alias_configuration or (),
    }
    text = msgspec.json.encode(shown)
    # it is new with every change, and the same as long as nothing changes
    return msgspec.json.encode(
        shown | {"change": hashlib.sha256(text + (version.code or "").encode()).hexdigest()[:32]}
    )


def _milliseconds(moment: str | int | None, number: int) -> int:
    if isinstance(moment, int):
        return moment if 0 <= moment <= _LAST_MS else number
    try:
        parsed_moment = datetime.fromisoformat(moment or "")
    except ValueError:
        return number
    return round((parsed_moment if parsed_moment.tzinfo else parsed_moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _language(text: str) -> Language:
    for language in _FILES:
        if text.lower() == language.value:
            return language
    raise Unfit(f"it is written in {text!r}; polycall runs Python and JavaScript packages.")
