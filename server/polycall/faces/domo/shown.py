"""Packages and versions as the vendor shows them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from polycall.domain import DeclaredType, Function, Language, Package, Parameter, Version
from polycall.faces.domo.kept import KeptPackage, KeptVersion
from polycall.faces.domo.manifest import Configuration, FunctionSpec, VariableSpec
from polycall.faces.times import iso_millis
from polycall.faces.wire import NULL
from polycall.quick import dataclass

__all__ = ["Parts", "package_body", "read_parts", "specs_of", "version_body"]

_ENVIRONMENT, _AVAILABILITY = "LAMBDA", "PRIVATE"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a caller wants to see of versions; ``bare``: less than it should."""

    code: bool = False
    functions: bool = False
    private: bool = False
    bare: bool = False

    def of(self, language: Language) -> Parts:
        """Return what is shown of a version of a language: clients index both members of Python's, asked for or not."""
        return Parts(True, True, self.private) if language is Language.PYTHON and not self.bare else self


def read_parts(text: str) -> Parts:
    """Read a list with commas; parts that nobody knows are ignored."""
    named = {each.strip() for each in text.split(",")}
    return Parts("code" in named, bool(named & {"functions", "privateFunctions"}), "privateFunctions" in named)


def language_name(language: Language) -> str:
    """Return what the vendor calls a language; it has no TypeScript."""
    return "Python" if language is Language.PYTHON else "JavaScript"


def package_body(
    package: Package, kept: KeptPackage | None, language: Language, versions: Sequence[Version], shown: Sequence[Any]
) -> dict[str, Any]:
    """Return a FunctionPackage; ``versions`` oldest first, ``shown`` as they are shown."""
    releases = [each.released_at for each in versions if each.released_at is not None]
    changes = [each.created_at for each in versions]  # a version that is changed is made anew
    return {
        "id": package.id,
        "name": package.display_name or package.id,
        "description": package.description or None,
        "language": language_name(language),
        "environment": _ENVIRONMENT,
        "thumbnail": None,
        "owner": kept.owner if kept else None,
        "availability": _AVAILABILITY,
        "versions": shown,
        "createdOn": iso_millis(package.created_at),
        "updatedOn": iso_millis(max([package.updated_at, *changes])),
        "releasedOn": iso_millis(max(releases)) if releases else None,
    }


def version_body(
    version: Version, kept: KeptVersion | None, package_id: str, code: str, parts: Parts
) -> dict[str, Any]:
    """Return a Version; ``code`` is shown if ``parts`` has it."""
    functions = [spec for spec in specs_of(version, kept) if parts.private or spec.public] if parts.functions else []
    released = iso_millis(version.released_at) if version.released_at is not None else None
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{version.project_id}/{version.package_id}/{version.id}")),
        "packageId": package_id,
        "version": version.id,
        "description": kept.description if kept else None,
        "code": code if parts.code else "",
        "functions": functions,
        "configuration": kept.configuration if kept else Configuration(),
        "accountAliasConfiguration": kept.aliases if kept else (),
        "language": language_name(version.language),
        "releasedOn": released,
        "released": released,
        "createdOn": iso_millis(kept.created_on if kept else version.created_at),
        "updatedOn": iso_millis(version.created_at),
        "createdBy": kept.created_by if kept else None,
    }


def specs_of(version: Version, kept: KeptVersion | None) -> tuple[FunctionSpec, ...]:
    """Return the functions of a version in the vendor's words, natively declared ones too."""
    return kept.functions if kept else tuple(map(_spec, version.functions))


def _spec(function: Function) -> FunctionSpec:
    """Return a natively declared function in the vendor's words."""
    return FunctionSpec(
        name=function.name,
        display_name=function.display_name or None,
        description=function.description or None,
        is_private=function.private,
        inputs=tuple(map(_variable_of, function.parameters)),
        output=None if function.output is None else _variable("result", function.output),
        has_return=function.output is not None,
    )


def _variable_of(parameter: Parameter) -> VariableSpec:
    default = NULL if parameter.default is None else msgspec.Raw(parameter.default)
    shown = _variable(parameter.name, parameter.declared)
    return msgspec.structs.replace(shown, display_name=parameter.display_name or None, default_values=default)


def _variable(name: str, declared: DeclaredType) -> VariableSpec:
    return VariableSpec(
        name=name,
        type=declared.type,
        is_list=declared.is_list,
        nullable=declared.nullable,
        children=tuple(map(_variable_of, declared.children)) or None,
    )
