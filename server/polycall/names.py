"""Resource names: ``packages/{package}/versions/{version}/functions/{function}`` and its like (AIP-122).

The one module that knows how they are spelled; everybody else passes the frozen values around.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from polycall.errors import InvalidArgument
from polycall.quick import quick

__all__ = [
    "NEWEST",
    "PACKAGE_RULE",
    "RUNTIME_RULE",
    "SECRET_RULE",
    "VERSION_RULE",
    "ApiKeyName",
    "ExecutionName",
    "FunctionName",
    "PackageName",
    "ParentName",
    "ProjectName",
    "RevisionName",
    "RuntimeName",
    "SecretName",
    "VersionName",
    "is_package_id",
    "is_runtime_id",
    "is_secret_id",
    "is_version_id",
]

NEWEST = "-"  # AIP-162: the newest released, else the newest ready version

PACKAGE_RULE = "must be 1 to 128 of letters, digits, `.`, `_`, `~`, `-`, beginning with a letter or digit"
VERSION_RULE = "must be 1 to 64 of letters, digits, `.`, `-`, beginning with a letter or digit"

RUNTIME_RULE = SECRET_RULE = PACKAGE_RULE

_PACKAGE = r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}"
_VERSION = r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}"
_FUNCTION = r"[^/]{1,128}"
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_SHOWN = 100  # characters of a wrong name that are quoted back


def is_package_id(text: str) -> bool:
    """Tell whether a package may have this id (PACKAGE_RULE)."""
    return re.fullmatch(_PACKAGE, text) is not None


def is_version_id(text: str) -> bool:
    """Tell whether a version may have this id (VERSION_RULE)."""
    return re.fullmatch(_VERSION, text) is not None


def is_runtime_id(text: str) -> bool:
    """Tell whether a runtime or a revision of one may have this id (RUNTIME_RULE)."""
    return re.fullmatch(_PACKAGE, text) is not None


def is_secret_id(text: str) -> bool:
    """Tell whether a secret may have this id (SECRET_RULE)."""
    return re.fullmatch(_PACKAGE, text) is not None


@dataclass(frozen=True, slots=True)
class PackageName:
    """``packages/{package}``."""

    package: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> PackageName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(_match(_PACKAGE_NAME, "packages/{package}", text, field)[1])

    def __str__(self) -> str:
        return f"packages/{self.package}"


@dataclass(frozen=True, slots=True)
class VersionName:
    """``packages/{package}/versions/{version}``; ``version`` is NEWEST only where ``parse`` was told to allow it."""

    package: str
    version: str

    @classmethod
    def parse(cls, text: str, field: str = "name", *, newest: bool = False) -> VersionName:
        """Read a name; ``newest`` allows ``-`` as the version. Raises InvalidArgument naming ``field``."""
        match = _match(_VERSION_NAME, "packages/{package}/versions/{version}", text, field)
        if match[2] == NEWEST and not newest:
            raise InvalidArgument.of(field, "must name one version; `-` does not")
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"packages/{self.package}/versions/{self.version}"


@quick
@dataclass(frozen=True, slots=True)
class FunctionName:
    """``packages/{package}[/versions/{version}]/functions/{function}``; ``version`` None is the newest."""

    package: str
    version: str | None
    function: str

    @classmethod
    def parse(cls, text: str, field: str = "function") -> FunctionName:
        """Read a name; version ``-`` is the same as none. Raises InvalidArgument naming ``field``."""
        shape = "packages/{package}/versions/{version}/functions/{function}"
        match = _match(_FUNCTION_NAME, shape, text, field)
        return cls(match[1], None if match[2] == NEWEST else match[2], match[3])

    def __str__(self) -> str:
        version = f"/versions/{self.version}" if self.version else ""
        return f"packages/{self.package}{version}/functions/{self.function}"


@dataclass(frozen=True, slots=True)
class ParentName:
    """What executions can be listed of: ``packages/{package}[/versions/{version}][/functions/{function}]``."""

    package: str
    version: str | None = None
    function: str | None = None

    @classmethod
    def parse(cls, text: str, field: str = "parent") -> ParentName:
        """Read a name; version ``-`` is any version. Raises InvalidArgument naming ``field``."""
        shape = "packages/{package}[/versions/{version}][/functions/{function}]"
        match = _match(_PARENT_NAME, shape, text, field)
        return cls(match[1], None if match[2] == NEWEST else match[2], match[3])

    def __str__(self) -> str:
        version = f"/versions/{self.version}" if self.version else ""
        function = f"/functions/{self.function}" if self.function else ""
        return f"packages/{self.package}{version}{function}"


@dataclass(frozen=True, slots=True)
class ExecutionName:
    """``executions/{execution}``; the id is a UUID."""

    execution: uuid.UUID

    @classmethod
    def parse(cls, text: str, field: str = "name") -> ExecutionName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(uuid.UUID(_match(_EXECUTION_NAME, "executions/{UUID}", text, field)[1]))

    def __str__(self) -> str:
        return f"executions/{self.execution}"


@dataclass(frozen=True, slots=True)
class RuntimeName:
    """``runtimes/{runtime}``."""

    runtime: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> RuntimeName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(_match(_RUNTIME_NAME, "runtimes/{runtime}", text, field)[1])

    def __str__(self) -> str:
        return f"runtimes/{self.runtime}"


@dataclass(frozen=True, slots=True)
class RevisionName:
    """``runtimes/{runtime}[/revisions/{revision}]``; ``revision`` is NEWEST if the name has none."""

    runtime: str
    revision: str

    @classmethod
    def parse(cls, text: str, field: str = "name", *, whole: bool = False) -> RevisionName:
        """Read a name; ``whole``: with a revision, which may be ``-``. Raises InvalidArgument naming ``field``."""
        shape = "runtimes/{runtime}/revisions/{revision}"
        match = _match(_REVISION_NAME, shape, text, field)
        if whole and match[2] is None:
            raise InvalidArgument.of(field, f"must be {shape}, got {text!r}")
        return cls(match[1], match[2] or NEWEST)

    def __str__(self) -> str:
        return f"runtimes/{self.runtime}/revisions/{self.revision}"


@dataclass(frozen=True, slots=True)
class SecretName:
    """``secrets/{secret}``; the id, not what people call it."""

    secret: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> SecretName:
        """Read a name. Raises InvalidArgument naming ``field``, without quoting it: it may be a secret's value."""
        match = _SECRET_NAME.fullmatch(text)
        if match is None:
            raise InvalidArgument.of(field, "must be secrets/{secret id}")
        return cls(match[1])

    def __str__(self) -> str:
        return f"secrets/{self.secret}"


@dataclass(frozen=True, slots=True)
class ProjectName:
    """``projects/{project}``."""

    project: str

    @classmethod
    def parse(cls, text: str, field: str = "project") -> ProjectName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(_match(_PROJECT_NAME, "projects/{project}", text, field)[1])

    def __str__(self) -> str:
        return f"projects/{self.project}"


@dataclass(frozen=True, slots=True)
class ApiKeyName:
    """``apiKeys/{key}``; the id, not the key's text."""

    key: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> ApiKeyName:
        """Read a name. Raises InvalidArgument naming ``field``, without quoting it: it may be a key's text."""
        match = _API_KEY_NAME.fullmatch(text)
        if match is None:
            raise InvalidArgument.of(field, "must be apiKeys/{key id}")
        return cls(match[1])

    def __str__(self) -> str:
        return f"apiKeys/{self.key}"


_PACKAGE_NAME = re.compile(f"packages/({_PACKAGE})")
_VERSION_NAME = re.compile(f"packages/({_PACKAGE})/versions/({_VERSION}|{NEWEST})")
_FUNCTION_NAME = re.compile(f"packages/({_PACKAGE})(?:/versions/({_VERSION}|{NEWEST}))?/functions/({_FUNCTION})")
_PARENT_NAME = re.compile(f"packages/({_PACKAGE})(?:/versions/({_VERSION}|{NEWEST}))?(?:/functions/({_FUNCTION}))?")
_EXECUTION_NAME = re.compile(f"executions/({_UUID})")
_RUNTIME_NAME = re.compile(f"runtimes/({_PACKAGE})")
_REVISION_NAME = re.compile(f"runtimes/({_PACKAGE})(?:/revisions/({_PACKAGE}|{NEWEST}))?")
_SECRET_NAME = re.compile(f"secrets/({_PACKAGE})")
_PROJECT_NAME = re.compile(r"projects/([a-z][a-z0-9-]{0,62})")
_API_KEY_NAME = re.compile(r"apiKeys/([A-Za-z0-9]{1,64})")


def _match(pattern: re.Pattern[str], shape: str, text: str, field: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise InvalidArgument.of(field, f"must be {shape}, got {shown!r}" if text else f"must be set: {shape}")
    return match
