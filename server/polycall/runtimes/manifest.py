"""Manifests: what a runtime's packages are, checked before anything is built of them.

A manifest names packages of the operator's registry, and nothing else: no other index, no URL, no path, no option of
the tool that reads it. What it may name is the operator's decision; what it does name is the project's.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import platform
import re
import sys
from collections.abc import Iterator, Sequence

import msgspec

from polycall.domain import Language, ManifestKind
from polycall.errors import FieldViolation, InvalidArgument
from polycall.quick import dataclass

__all__ = ["MANIFEST_BYTES", "Manifest", "digest_of", "kind_for", "parse_imports", "parse_manifest"]

# A long requirements.txt with hashes has some tens of KiB.
MANIFEST_BYTES = 256 << 10
_MOST_PACKAGES = 1000
_MOST_IMPORTS = 100
_MOST_WRONG = 100  # lines that are named
_IMPORTS_BYTES = 16 << 10  # a hundred long ones, with comments
# Some tens of hashes.
_LONGEST_LINE = 8000
# Raised when builds change: environments that older releases built are then built anew.
_FORMAT = 1

# PEP 508: a name, extras, version specifiers (with or without parentheses), a marker; then hashes, as pip has them.
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?"
_SPECIFIER = r"(?:===?|~=|!=|<=?|>=?)\s*[A-Za-z0-9.*+!_-]+"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*"
    rf"(?:\(?\s*{_SPECIFIER}(?:\s*,\s*{_SPECIFIER})*\s*\)?)?\s*"
    r"(?:;[^@;]{1,500}?)?(?:\s+--hash[= ](?:sha256|sha384|sha512):[0-9a-f]+)*"
)
# https://docs.npmjs.com/cli/v11/configuring-npm/package-json#name
_NPM_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
# A range or a tag, or another name for a package of the same registry.
_NPM_RANGE = re.compile(r"(?:npm:(?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+@)?[A-Za-z0-9.^~<>=|*+ \t-]{0,100}")
_MODULE = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_IMPORT = re.compile(rf"import\s+(?P<modules>{_MODULE}(?:\s+as\s+\w+)?(?:\s*,\s*{_MODULE}(?:\s+as\s+\w+)?)*)")
_FROM = re.compile(rf"from\s+(?P<module>{_MODULE})\s+import\s+.+")


@dataclass(frozen=True, slots=True)
class Manifest:
    """``text`` is what the tool gets to read. ``names`` are the packages that it names itself."""

    kind: ManifestKind
    text: str
    names: tuple[str, ...]


def kind_for(language: Language) -> ManifestKind:
    """Return the kind of manifest that a language has."""
    return ManifestKind.REQUIREMENTS_TXT if language is Language.PYTHON else ManifestKind.PACKAGE_JSON


def parse_manifest(kind: ManifestKind, text: str, field: str = "manifest") -> Manifest:
    """Read a manifest. Raises InvalidArgument naming ``field`` and every line or package that cannot be."""
    _check_text(text, field, MANIFEST_BYTES)
    parsed = _requirements(text, field) if kind is ManifestKind.REQUIREMENTS_TXT else _package_json(text, field)
    if len(parsed.names) > _MOST_PACKAGES:
        raise InvalidArgument.of(field, f"names {len(parsed.names)} packages; at most {_MOST_PACKAGES}")
    return parsed


def parse_imports(text: str, field: str = "additional_imports") -> tuple[str, ...]:
    """Return the modules of a text of import statements or module names, one a line or parted by commas or ``;``.

    Raises InvalidArgument naming ``field``.
    """
    _check_text(text, field, _IMPORTS_BYTES)
    modules: list[str] = []
    for line in re.split(r"[\n;]", text):
        statement = line.partition("#")[0].strip()
        if not statement:
            continue
        if match := _IMPORT.fullmatch(statement):
            modules += [part.split()[0] for part in match["modules"].split(",")]
        elif match := _FROM.fullmatch(statement):
            modules.append(match["module"])
        else:
            names = [name.strip() for name in statement.split(",") if name.strip()]
            if not all(re.fullmatch(_MODULE, name) for name in names):
                raise _no_imports(field, statement)
            modules += names
    for name in modules:
        if any(keyword.iskeyword(part) for part in name.split(".")):
            raise _no_imports(field, name)
    unique = tuple(dict.fromkeys(modules))
    if len(unique) > _MOST_IMPORTS:
        raise InvalidArgument.of(field, f"names {len(unique)} modules; at most {_MOST_IMPORTS}")
    return unique


def _no_imports(field: str, what: str) -> InvalidArgument:
    return InvalidArgument.of(field, f"must be modules or import statements, got {what[:80]!r}")


def digest_of(manifest: Manifest, registry: str) -> str:
    """Return the digest (sha256, hex) of everything that decides what is built: environments of one digest are one."""
    parts: Sequence[object] = (
        *(_FORMAT, manifest.kind, manifest.text, registry),
        *(sys.implementation.cache_tag, sys.version, platform.machine(), platform.libc_ver()),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _check_text(text: str, field: str, most: int) -> None:
    if len(text.encode(errors="surrogatepass")) > most:
        raise InvalidArgument.of(field, f"must have at most {most} bytes")
    if "\0" in text or not _is_unicode(text):
        raise InvalidArgument.of(field, "must be Unicode text without NUL")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _requirements(text: str, field: str) -> Manifest:
    lines, names, wrong = [], [], []
    for number, line in _logical_lines(text):
        match = _requirement(line) if len(line) <= _LONGEST_LINE and not _is_path(line) else None
        if match is None:
            wrong.append(FieldViolation(field, f"line {number}: {_why_not(line)}: {line[:80]!r}"))
            if len(wrong) >= _MOST_WRONG:
                break  # everybody waits while it is read
            continue
        lines.append(line)
        names.append(match["name"])
    if wrong:
        raise InvalidArgument(wrong)
    return Manifest(ManifestKind.REQUIREMENTS_TXT, "".join(f"{line}\n" for line in lines), tuple(names))


def _requirement(line: str) -> re.Match[str] | None:
    # A space may belong to whatever stands before it or behind: of thousands in a row the expression would try every
    # way to share them out, for hours, and everybody waits.
    return _REQUIREMENT.fullmatch(re.sub(r"\s+", " ", line))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their number: comments gone, continued ones joined, empty ones left out."""
    begun, held = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        part = re.sub(r"(^|\s)#.*", "", line).rstrip()
        begun = begun or number
        if part.endswith("\\"):
            held += part[:-1] + " "
            continue
        whole = (held + part).strip()
        if whole:
            yield begun, whole
        begun, held = 0, ""
    if held.strip():
        yield begun, held.strip()


def _why_not(line: str) -> str:
    if line.startswith("-"):
        return "options are not allowed, the registry is the operator's"
    if "@" in line or "://" in line:
        return "URLs are not allowed, packages come from the operator's registry"
    if _is_path(line):
        return "paths are not allowed, packages come from the operator's registry"
    return "is not a requirement such as numpy>=2"


def _is_path(line: str) -> bool:
    return line.startswith((".", "/", "~")) or line.endswith((".whl", ".zip", ".tar.gz"))


class _PackageJson(msgspec.Struct):
    """What we take of a package.json; scripts and the rest play no part."""

    dependencies: dict[str, str] = {}
    optionalDependencies: dict[str, str] = {}


def _package_json(text: str, field: str) -> Manifest:
    try:
        read = msgspec.json.decode(text, type=_PackageJson)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument.of(field, f"must be a package.json with dependencies: {error}") from None
    wrong = [
        FieldViolation(field, f"{name[:80]!r}: {problem}")
        for packages in (read.dependencies, read.optionalDependencies)
        for name, wanted in packages.items()
        if (problem := _npm_problem(name, wanted))
    ]
    if wrong:
        raise InvalidArgument(wrong)
    kept = {"dependencies": read.dependencies, "optionalDependencies": read.optionalDependencies}
    names = tuple(dict.fromkeys((*read.dependencies, *read.optionalDependencies)))
    return Manifest(ManifestKind.PACKAGE_JSON, json.dumps(kept, indent=1, sort_keys=True), names)


def _npm_problem(name: str, wanted: str) -> str:
    if len(name) > 214 or not _NPM_NAME.fullmatch(name):
        return "is not a name of a package"
    if not _NPM_RANGE.fullmatch(wanted):
        return f"{wanted[:80]!r} is not a range of versions; URLs and paths are not allowed"
    return ""
