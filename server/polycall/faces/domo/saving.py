"""What a caller may save: a package with a version, or changes of a version."""

from __future__ import annotations

import re

import msgspec

from polycall.domain import Language
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.domo.manifest import Manifest, read_manifest
from polycall.faces.wire import decode, present
from polycall.quick import dataclass

__all__ = ["WORKING", "Changes", "Save", "read_changes", "read_save", "reworded"]

WORKING = "0.0.0-dev"  # the version that is saved where none is named
_ENVIRONMENT = "LAMBDA"
_LANGUAGES = {"python": Language.PYTHON, "javascript": Language.JAVASCRIPT}
_VERSION = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LONGEST_TEXT = 4096  # characters; as the registry has it for packages
# What the engine calls what the vendor calls otherwise.
_FIELDS = {
    "parent": "id",
    "package_id": "id",
    "package.display_name": "name",
    "package.description": "description",
    "version_id": "version",
    "version.functions": "manifest.functions",
    "source": "code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """A package and a version to be. ``id`` "": a new package."""

    id: str
    version: str
    code: str
    manifest: Manifest
    name: str | None
    description: str | None
    language: Language | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changes of a version; what is None or unset stays as it is."""

    code: str | None
    manifest: Manifest | None
    description: str | msgspec.UnsetType | None


class _SaveBody(msgspec.Struct, rename="camel"):
    id: str | None = None
    version: str | None = None
    name: str | None = None
    description: str | None = None
    code: str | None = None
    language: str | None = None
    environment: str | None = None
    manifest: msgspec.Raw = msgspec.Raw(b"null")


class _ChangesBody(msgspec.Struct, rename="camel"):
    code: str | None = None
    manifest: msgspec.Raw = msgspec.Raw(b"null")
    description: str | msgspec.UnsetType | None = msgspec.UNSET


def read_save(body: bytes) -> Save:
    """Read a package. Raises InvalidArgument naming everything that is wrong, or what the manifest's fault is."""
    sent = decode(body, _SaveBody)
    wrong = [] if sent.code is not None else [FieldViolation("code", "must be set")]
    language = None
    if sent.language is not None:
        language = _LANGUAGES.get(sent.language.lower())
        if language is None:
            wrong.append(FieldViolation("language", f"must be PYTHON or JAVASCRIPT, got {sent.language[:40]!r}"))
    if sent.environment not in (None, _ENVIRONMENT):
        wrong.append(FieldViolation("environment", f"must be {_ENVIRONMENT}, got {str(sent.environment)[:40]!r}"))
    if sent.id is not None and "/" in sent.id:
        wrong.append(FieldViolation("id", "must have no `/`"))
    if sent.version and not _VERSION.fullmatch(sent.version):
        wrong.append(FieldViolation("version", "must be 1 to 64 of letters, digits, `.` and `-`"))
    if sent.name == "":
        wrong.append(FieldViolation("name", "must not be empty"))
    wrong += _text_violations(name=sent.name, description=sent.description)
    if wrong:
        raise InvalidArgument(wrong)
    return Save(
        id=sent.id or "",
        version=sent.version or WORKING,
        code=sent.code or "",
        manifest=read_manifest(present(sent.manifest)),
        name=sent.name,
        description=sent.description,
        language=language,
    )


def read_changes(body: bytes) -> Changes:
    """Read changes of a version. Raises InvalidArgument."""
    sent = decode(body, _ChangesBody)
    described = None if isinstance(sent.description, msgspec.UnsetType) else sent.description
    manifest = present(sent.manifest)
    if (wrong := _text_violations(description=described)) != []:
        raise InvalidArgument(wrong)
    return Changes(
        code=sent.code,
        manifest=None if manifest is None else read_manifest(manifest),
        description=sent.description,
    )


def reworded(error: InvalidArgument) -> InvalidArgument:
    """Return what the engine refuses in the words of this contract's fields."""
    return InvalidArgument(
        [FieldViolation(_field(each.field), each.description) for each in error.violations], reason=error.reason
    )


def _field(field: str) -> str:
    for ours, theirs in _FIELDS.items():
        if field == ours or field.startswith((f"{ours}[", f"{ours}.")):
            return theirs + field.removeprefix(ours)
    return field


def _text_violations(**texts: str | None) -> list[FieldViolation]:
    return [
        FieldViolation(name, f"must have at most {_LONGEST_TEXT} characters")
        for name, text in texts.items()
        if text is not None and len(text) > _LONGEST_TEXT
    ]
