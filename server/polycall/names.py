"""Resource names: ``packages/{package}/versions/{version}/functions/{function}`` and its like (AIP-122).

The one module that knows how they are spelled; everybody else passes the frozen values around.

Ids are what users brought along from elsewhere, so that nearly any text is one. In a name, what would part it or be
changed on the way (``/``, ``%``, blanks, what is not ASCII, ...) is percent-encoded (RFC 3986, 2.1): the package
``a/b`` is ``packages/a%2Fb``. What is not encoded but need not be is read as well.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from polycall.errors import InvalidArgument
from polycall.quick import dataclass

__all__ = [
    "NEWEST",
    "PACKAGE_RULE",
    "RUNTIME_RULE",
    "SCHEDULE_RULE",
    "SECRET_RULE",
    "VERSION_RULE",
    "ApiKeyName",
    "DeliveryName",
    "ExecutionName",
    "FunctionName",
    "PackageName",
    "ParentName",
    "PolicyName",
    "ProjectName",
    "RevisionName",
    "RuntimeName",
    "ScheduleName",
    "SecretName",
    "VersionName",
    "is_package_id",
    "is_runtime_id",
    "is_schedule_id",
    "is_secret_id",
    "is_version_id",
]

NEWEST = "-"  # AIP-162: the newest released, else the newest ready version

# The longest that a contract asks for (Riza, section 8: any non-empty string up to 128 characters).
_LONGEST_ID = 128
PACKAGE_RULE = f"must be 1 to {_LONGEST_ID} characters, no control characters, and not `.`, `..` or `-`"
VERSION_RULE = RUNTIME_RULE = SCHEDULE_RULE = SECRET_RULE = PACKAGE_RULE

# No client can address the first two by URL, where they mean something else; the third is a wildcard (AIP-159).
_NO_IDS = frozenset({"", ".", "..", NEWEST})
_PLAIN = re.compile(r"[A-Za-z0-9._~-]{1,128}")  # stands for itself in a name (RFC 3986, unreserved)
_SEGMENT = r"[^/]{1,1536}"  # 128 characters of four bytes, each three long
_FUNCTION = r"[^/]{1,128}"
_RECENT = 512  # names of functions that are remembered: most calls are of few functions
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_SHOWN = 100  # characters of a wrong name that are quoted back


def is_package_id(text: str) -> bool:
    """Tell whether a package may have this id (PACKAGE_RULE)."""
    if _PLAIN.fullmatch(text):
        return text not in _NO_IDS
    return 0 < len(text) <= _LONGEST_ID and not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def is_version_id(text: str) -> bool:
    """Tell whether a version may have this id (VERSION_RULE)."""
    return is_package_id(text)


def is_runtime_id(text: str) -> bool:
    """Tell whether a runtime or a revision of one may have this id (RUNTIME_RULE)."""
    return is_package_id(text)


def is_secret_id(text: str) -> bool:
    """Tell whether a secret may have this id (SECRET_RULE)."""
    return is_package_id(text)


def is_schedule_id(text: str) -> bool:
    """Tell whether a schedule may have this id (SCHEDULE_RULE)."""
    return is_package_id(text)


@dataclass(frozen=True, slots=True)
class PackageName:
    """``packages/{package}``."""

    package: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> PackageName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(_ids(_match(_PACKAGE_NAME, "packages/{package}", text, field), 1, field)[0])

    def __str__(self) -> str:
        return f"packages/{_segment(self.package)}"


@dataclass(frozen=True, slots=True)
class VersionName:
    """``packages/{package}/versions/{version}``; ``version`` is NEWEST only where ``parse`` was told to allow it."""

    package: str
    version: str

    @classmethod
    def parse(cls, text: str, field: str = "name", *, newest: bool = False) -> VersionName:
        """Read a name; ``newest`` allows ``-`` as the version. Raises InvalidArgument naming ``field``."""
        match = _match(_VERSION_NAME, "packages/{package}/versions/{version}", text, field)
        if match[2] == NEWEST:
            if not newest:
                raise InvalidArgument.of(field, "must name one version; `-` does not")
            return cls(_ids(match, 1, field)[0], NEWEST)
        first, second = _ids(match, 2, field)
        return cls(first, second)

    def __str__(self) -> str:
        return f"packages/{_segment(self.package)}/versions/{_segment(self.version)}"


@dataclass(frozen=True, slots=True)
class FunctionName:
    """``packages/{package}[/versions/{version}]/functions/{function}``; ``version`` None is the newest."""

    package: str
    version: str | None
    function: str

    @classmethod
    @lru_cache(maxsize=_RECENT)
    def parse(cls, text: str, field: str = "function") -> FunctionName:
        """Read a name; version ``-`` is the same as none. Raises InvalidArgument naming ``field``."""
        shape = "packages/{package}[/versions/{version}]/functions/{function}"
        match = _match(_FUNCTION_NAME, shape, text, field)
        if match[2] is None or match[2] == NEWEST:
            return cls(_ids(match, 1, field)[0], None, match[3])
        package, version = _ids(match, 2, field)
        return cls(package, version, match[3])

    def __str__(self) -> str:
        version = f"/versions/{_segment(self.version)}" if self.version else ""
        return f"packages/{_segment(self.package)}{version}/functions/{self.function}"


@dataclass(frozen=True, slots=True)
class PolicyName:
    """``packages/{package}/functions/{function}/policy``."""

    package: str
    function: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> PolicyName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        match = _match(_POLICY_NAME, "packages/{package}/functions/{function}/policy", text, field)
        return cls(_ids(match, 1, field)[0], match[2])

    def __str__(self) -> str:
        return f"packages/{_segment(self.package)}/functions/{self.function}/policy"


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
        if match[2] is None or match[2] == NEWEST:
            return cls(_ids(match, 1, field)[0], None, match[3])
        package, version = _ids(match, 2, field)
        return cls(package, version, match[3])

    def __str__(self) -> str:
        version = f"/versions/{_segment(self.version)}" if self.version else ""
        function = f"/functions/{self.function}" if self.function else ""
        return f"packages/{_segment(self.package)}{version}{function}"


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
        return cls(_ids(_match(_RUNTIME_NAME, "runtimes/{runtime}", text, field), 1, field)[0])

    def __str__(self) -> str:
        return f"runtimes/{_segment(self.runtime)}"


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
        if match[2] is None or match[2] == NEWEST:
            return cls(_ids(match, 1, field)[0], NEWEST)
        first, second = _ids(match, 2, field)
        return cls(first, second)

    def __str__(self) -> str:
        return f"runtimes/{_segment(self.runtime)}/revisions/{_segment(self.revision)}"


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
        try:
            return cls(_ids(match, 1, field)[0])
        except InvalidArgument:
            raise InvalidArgument.of(field, "must be secrets/{secret id}") from None

    def __str__(self) -> str:
        return f"secrets/{_segment(self.secret)}"


@dataclass(frozen=True, slots=True)
class ScheduleName:
    """``schedules/{schedule}``."""

    schedule: str

    @classmethod
    def parse(cls, text: str, field: str = "name") -> ScheduleName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(_ids(_match(_SCHEDULE_NAME, "schedules/{schedule}", text, field), 1, field)[0])

    def __str__(self) -> str:
        return f"schedules/{_segment(self.schedule)}"


@dataclass(frozen=True, slots=True)
class DeliveryName:
    """``deliveries/{UUID}``: that of the execution whose end is told."""

    execution: uuid.UUID

    @classmethod
    def parse(cls, text: str, field: str = "name") -> DeliveryName:
        """Read a name. Raises InvalidArgument naming ``field``."""
        return cls(uuid.UUID(_match(_DELIVERY_NAME, "deliveries/{UUID}", text, field)[1]))

    def __str__(self) -> str:
        return f"deliveries/{self.execution}"


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


_PACKAGE_NAME = re.compile(f"packages/({_SEGMENT})")
_VERSION_NAME = re.compile(f"packages/({_SEGMENT})/versions/({_SEGMENT})")
_FUNCTION_NAME = re.compile(f"packages/({_SEGMENT})(?:/versions/({_SEGMENT}))?/functions/({_FUNCTION})")
_POLICY_NAME = re.compile(f"packages/({_SEGMENT})/functions/({_FUNCTION})/policy")
_PARENT_NAME = re.compile(f"packages/({_SEGMENT})(?:/versions/({_SEGMENT}))?(?:/functions/({_FUNCTION}))?")
_DELIVERY_NAME = re.compile(f"deliveries/({_UUID})")
_EXECUTION_NAME = re.compile(f"executions/({_UUID})")
_RUNTIME_NAME = re.compile(f"runtimes/({_SEGMENT})")
_REVISION_NAME = re.compile(f"runtimes/({_SEGMENT})(?:/revisions/({_SEGMENT}))?")
_SECRET_NAME = re.compile(f"secrets/({_SEGMENT})")
_SCHEDULE_NAME = re.compile(f"schedules/({_SEGMENT})")
_PROJECT_NAME = re.compile(r"projects/([a-z][a-z0-9-]{0,62})")
_API_KEY_NAME = re.compile(r"apiKeys/([A-Za-z0-9]{1,64})")


def _match(pattern: re.Pattern[str], shape: str, text: str, field: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise InvalidArgument.of(field, f"must be {shape}, got {_shown(text)}" if text else f"must be set: {shape}")
    return match


def _ids(match: re.Match[str], count: int, field: str) -> list[str]:
    """Return the first ids of a matched name, decoded. Raises InvalidArgument."""
    found = [match[index + 1] for index in range(count)]
    if "%" in match.string:
        try:
            found = [unquote_to_bytes(segment).decode() for segment in found]
        except UnicodeError:
            raise InvalidArgument.of(field, "must be UTF-8 where it is percent-encoded") from None
    for identifier in found:
        if not is_package_id(identifier):
            raise InvalidArgument.of(field, f"must be a name of ids: an id {PACKAGE_RULE}; got {_shown(match.string)}")
    return found


def _segment(identifier: str) -> str:
    return identifier if _PLAIN.fullmatch(identifier) else quote(identifier, safe="")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
