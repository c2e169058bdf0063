"""What packages and versions must be before they are kept; every violation is found at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field

from polycall.domain import DEFAULT_WARM, EgressPolicy, Function, Language, LimitOverrides, Package, WarmPolicy
from polycall.engine.archive import MOST_BYTES, MOST_FILES, source_files
from polycall.engine.checks import environment_violations, secret_env_violations
from polycall.engine.egress import egress_violations
from polycall.engine.languages import check_language, without_meaning
from polycall.engine.limits import LimitPolicy
from polycall.engine.secrets import LONGEST_NAME, LONGEST_VALUE, is_value
from polycall.errors import FieldViolation, InvalidArgument
from polycall.names import PACKAGE_RULE, VERSION_RULE, is_package_id, is_version_id
from polycall.quick import dataclass

__all__ = ["VersionDraft", "check_draft", "check_package"]

_MOST_FUNCTIONS = 1000  # as many as are read from a source
_LONGEST_FUNCTION = 128  # characters; what a resource name can hold
_FACES = ("riza", "cognite", "guance", "xpander", "domo")
_LONGEST_ALIAS = 255  # characters; Cognite's externalId, the longest of the vendors'
_MOST_FACE_DATA = 1 << 20  # bytes; far more than any vendor's object has beside its code
_MOST_LABELS, _LONGEST_LABEL, _LONGEST_TEXT = 64, 256, 4096
_MOST_SECRETS = 100  # as many as environment variables
_MOST_WARM = 4096  # as many as the setting warm_workers may be
_MOST_READY = 64  # held by one version whether it is called or not
_SHORTEST_IDLE_MS, _LONGEST_IDLE_MS = 1000, 86_400_000  # as the setting warm_idle_s


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDraft:
    """A version to be: what ``Registry.create_version`` takes."""

    package_id: str
    files: Mapping[str, bytes]
    id: str = ""  # "": the next number
    language: Language = Language.PYTHON
    runtime: str = ""
    functions: tuple[Function, ...] = ()  # (): every public top-level function of the source
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)  # variable -> id of the secret that is its value
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # HANDLE: by name; sealed with the version
    egress: EgressPolicy | None = None
    reuse: bool = True
    adapter: str = ""
    warm: WarmPolicy = DEFAULT_WARM
    face_data: bytes | None = None
    request_id: str | None = None  # of several with one id, at whichever servers, one becomes a version


def check_draft(draft: VersionDraft, limits: LimitPolicy, available: Collection[Language]) -> None:
    """Raise RuntimeMissing, InvalidArgument or LimitOutOfRange for what cannot be a version.

    ``available``: the languages that run here.
    """
    check_language(draft.language, available)
    wrong: list[FieldViolation] = []
    if not is_package_id(draft.package_id):
        wrong.append(FieldViolation("parent", PACKAGE_RULE))
    if draft.id and not is_version_id(draft.id):
        wrong.append(FieldViolation("version_id", VERSION_RULE))
    wrong += _source_violations(draft.files)
    wrong += _function_violations(draft.functions, draft.language)
    wrong += environment_violations(draft.env, "version.env")
    wrong += secret_env_violations(draft.secret_env, draft.env, "version.secret_env")
    wrong += _secret_violations(draft.secrets)
    wrong += _warm_violations(draft.warm, draft.reuse)
    wrong += egress_violations(draft.egress, "version.egress.rules")
    wrong += _face_data_violations(draft.face_data, "version.face_data_json")
    if wrong:
        raise InvalidArgument(wrong)
    limits.resolve(draft.limits, path="version.limits")


def _warm_violations(warm: WarmPolicy, reuse: bool) -> Iterator[FieldViolation]:
    if not 0 <= warm.max <= _MOST_WARM:
        yield FieldViolation("version.warm.max", f"must be from 0 to {_MOST_WARM}, is {warm.max}")
    if not 0 <= warm.min <= _MOST_READY:
        yield FieldViolation("version.warm.min", f"must be from 0 to {_MOST_READY}, is {warm.min}")
    elif 0 < warm.max < warm.min:
        yield FieldViolation("version.warm.min", f"must not be above version.warm.max, which is {warm.max}")
    elif warm.min and not reuse:
        yield FieldViolation("version.warm.min", "must be 0 where every run gets a fresh process (fresh_process)")
    if warm.idle_ms and not _SHORTEST_IDLE_MS <= warm.idle_ms <= _LONGEST_IDLE_MS:
        seconds = f"from {_SHORTEST_IDLE_MS // 1000} to {_LONGEST_IDLE_MS // 1000} seconds"
        yield FieldViolation("version.warm.idle", f"must be {seconds}, is {warm.idle_ms / 1000:g}")


def _secret_violations(secrets: Mapping[str, str]) -> Iterator[FieldViolation]:
    if len(secrets) > _MOST_SECRETS:
        yield FieldViolation("version.secrets", f"has {len(secrets)} secrets; at most {_MOST_SECRETS}")
    for name, value in secrets.items():
        if not 0 < len(name) <= LONGEST_NAME or not is_value(name):
            yield FieldViolation("version.secrets", f"a name must have 1 to {LONGEST_NAME} characters, and no NUL")
        elif not is_value(value):
            rule = f"must be text of 1 to {LONGEST_VALUE} bytes (UTF-8), without NUL"
            yield FieldViolation(f"version.secrets[{name[:40]!r}]", rule)


def check_package(package: Package) -> None:
    """Raise InvalidArgument for what cannot be a package."""
    wrong = []
    if not is_package_id(package.id):
        wrong.append(FieldViolation("package_id", PACKAGE_RULE))
    wrong += [
        FieldViolation(f"package.{name}", f"must have at most {_LONGEST_TEXT} characters")
        for name in ("display_name", "description")
        if len(getattr(package, name)) > _LONGEST_TEXT
    ]
    if package.alias is not None and not 0 < len(package.alias) <= _LONGEST_ALIAS:
        wrong.append(FieldViolation("package.alias", f"must have 1 to {_LONGEST_ALIAS} characters"))
    if package.face is not None and package.face not in _FACES:
        wrong.append(FieldViolation("package.face", f"must be one of {', '.join(_FACES)}"))
    if package.alias is not None and package.face is None:
        wrong.append(FieldViolation("package.alias", "is for packages of a face"))
    if package.face_data is not None and package.face is None:
        wrong.append(FieldViolation("package.face_data_json", "is for packages of a face"))
    wrong += _face_data_violations(package.face_data, "package.face_data_json")
    if len(package.labels) > _MOST_LABELS:
        wrong.append(FieldViolation("package.labels", f"must be at most {_MOST_LABELS}"))
    wrong += [
        FieldViolation(f"package.labels[{name[:40]!r}]", f"must have 1 to {_LONGEST_LABEL} characters")
        for name, value in package.labels.items()
        if not name or len(name) > _LONGEST_LABEL or len(value) > _LONGEST_LABEL
    ]
    if wrong:
        raise InvalidArgument(wrong)


def _face_data_violations(data: bytes | None, field: str) -> Iterator[FieldViolation]:
    if data is not None and len(data) > _MOST_FACE_DATA:
        yield FieldViolation(field, f"must have at most {_MOST_FACE_DATA} bytes")


def _source_violations(files: Mapping[str, bytes]) -> Iterator[FieldViolation]:
    if not files:
        yield FieldViolation("source", "must have at least one file")
    if (size := sum(map(len, files.values()))) > MOST_BYTES:
        yield FieldViolation("source", f"has {size} bytes; at most {MOST_BYTES}")
    if len(files) > MOST_FILES:
        yield FieldViolation("source", f"has {len(files)} files; at most {MOST_FILES}")
        return
    try:
        source_files(files.items(), "source")
    except InvalidArgument as error:
        yield from error.violations


def _function_violations(functions: Sequence[Function], language: Language) -> Iterator[FieldViolation]:
    if len(functions) > _MOST_FUNCTIONS:
        yield FieldViolation("version.functions", f"must be at most {_MOST_FUNCTIONS}")
        return
    names: set[str] = set()
    for index, function in enumerate(functions):
        name = function.name
        if not 0 < len(name) <= _LONGEST_FUNCTION or "/" in name or not name.isprintable():
            rule = f"must be 1 to {_LONGEST_FUNCTION} printable characters, no `/`"
            yield FieldViolation(f"version.functions[{index}].name", rule)
        elif name in names:
            yield FieldViolation(f"version.functions[{index}].name", "stands there twice")
        if (why := without_meaning(function.convention, language)) is not None:
            yield FieldViolation(f"version.functions[{index}].convention", why)
        names.add(name)
