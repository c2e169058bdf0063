"""The vendor's tools: what is sent of them, what is kept of them, what is shown of them.

A tool is a package, its revisions are versions of it. Name and description are the package's; the schema of the input
is kept as it came, with the version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from polycall.domain import Convention, Function, Language, Package, Version
from polycall.engine.languages import main_file
from polycall.engine.limits import MIB
from polycall.engine.registry import VersionDraft
from polycall.engine.requests import AdHocRun
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.riza.outbound import MASK, Http, http_violations, policy_of
from polycall.faces.riza.records import Record
from polycall.faces.riza.requests import LANGUAGES, Bounds, Call, limits_of
from polycall.faces.wire import decode, present
from polycall.names import RevisionName
from polycall.quick import dataclass

__all__ = [
    "Edit",
    "ToolBody",
    "ToolCall",
    "code_of",
    "draft_of",
    "pointer",
    "read_call",
    "read_edit",
    "revision_of",
    "schema_of",
]

_ENTRYPOINT = "execute"
_CODE_BYTES = 1 * MIB  # contract, section 6.6
_ANYTHING = b"{}"


class _Form(msgspec.Struct):
    code: str | None = None
    language: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    runtime_revision_id: str | None = None


class _Pointer(msgspec.Struct):
    """``Package.face_data``: which revision is current, whatever state its version is in."""

    revision_id: str = ""


class _KeptVersion(msgspec.Struct):
    """``Version.face_data``."""

    input_schema: msgspec.Raw = msgspec.Raw(_ANYTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a request says of a tool; None: nothing. ``runtime_revision_id`` "": the default runtime."""

    code: str | None
    language: Language | None
    name: str | None
    description: str | None
    input_schema: bytes | None
    runtime_revision_id: str | None

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return all(getattr(self, name) is None for name in self.__slots__)


class ToolBody(msgspec.Struct, omit_defaults=True):
    """The vendor's Tool."""

    id: str
    code: str
    description: str
    input_schema: msgspec.Raw
    language: str
    name: str
    revision_id: str
    runtime_revision_id: str | None = None

    @classmethod
    def of(cls, package: Package, version: Version, files: Mapping[str, bytes]) -> ToolBody:
        """Show a tool as one of its revisions has it."""
        runtime = RevisionName.parse(version.runtime).revision if version.runtime else None
        return cls(
            id=package.id,
            code=code_of(version, files),
            description=package.description,
            input_schema=msgspec.Raw(schema_of(version)),
            language=version.language.value,
            name=package.display_name or package.id,
            revision_id=version.id,
            runtime_revision_id=runtime,
        )


class _Env(msgspec.Struct, omit_defaults=True):
    name: str | None = None
    value: str | None = None
    secret_id: str | None = None

    def masked(self) -> _Env:
        return _Env(self.name, MASK if self.secret_id else self.value, self.secret_id)


class _CallForm(msgspec.Struct, omit_defaults=True):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    env: list[_Env] | None = None
    http: Http | None = None
    revision_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool as it was asked for."""

    form: _CallForm

    @property
    def revision_id(self) -> str | None:
        """The revision that it is for; None: the current one."""
        return self.form.revision_id or None

    @property
    def input(self) -> bytes:
        """The input, JSON."""
        return present(self.form.input) or b"null"

    def of(self, tool_id: str, version: Version, files: Mapping[str, bytes], bounds: Bounds) -> Call:
        """Return it as a call of a revision's code."""
        form = self.form
        env, secret_env = _environment(form.env or ())
        masked = msgspec.structs.replace(
            form, env=form.env and [each.masked() for each in form.env], http=form.http and form.http.masked()
        )
        run = AdHocRun(
            code=code_of(version, files),
            language=version.language,
            input=self.input,
            env=env,
            secret_env=secret_env,
            egress=policy_of(form.http),
            limits=limits_of(bounds.default_timeout_s, bounds.default_memory_mib),
            runtime=version.runtime,
            package_id=version.package_id,
            version_id=version.id,
        )
        return Call(
            run=run,
            timeout_s=bounds.default_timeout_s,
            runtime_revision_id=None,
            record=Record.of("tool", masked, tool_id),
        )


def read_edit(body: bytes, *, new: bool) -> Edit:
    """Read the body of a new tool, or of a change. Raises Malformed, InvalidArgument naming all that is wrong."""
    form = decode(body, _Form)
    wrong = [*_edit_violations(form, new)]
    if wrong:
        raise InvalidArgument(wrong)
    return Edit(
        code=form.code,
        language=Language(form.language.lower()) if form.language is not None else None,
        name=form.name,
        description=form.description,
        input_schema=present(form.input_schema),
        runtime_revision_id=form.runtime_revision_id,
    )


def read_call(body: bytes) -> ToolCall:
    """Read the body of a call. Raises Malformed, InvalidArgument naming everything that is wrong."""
    form = decode(body or b"{}", _CallForm)
    wrong = [
        FieldViolation(f"env[{index}].name", "is required")
        for index, each in enumerate(form.env or ())
        if each.name is None
    ]
    wrong += http_violations(form.http)
    if wrong:
        raise InvalidArgument(wrong)
    return ToolCall(form)


def draft_of(
    edit: Edit, tool_id: str, revision_id: str, runtime: str, before: tuple[Version, Mapping[str, bytes]] | None
) -> VersionDraft:
    """Return the version that an edit makes, of nothing or of the revision ``before`` it."""
    language, code, schema = edit.language, edit.code, edit.input_schema
    if before is not None:
        version, files = before
        language = language or version.language
        code = code_of(version, files) if code is None else code
        schema = schema_of(version) if schema is None else schema
        runtime = version.runtime if edit.runtime_revision_id is None else runtime
    language, schema = language or Language.PYTHON, schema or _ANYTHING
    function = Function(
        name=_ENTRYPOINT,
        entrypoint="",
        convention=Convention.INPUT,
        input_schema=None if schema == _ANYTHING else schema,
    )
    return VersionDraft(
        package_id=tool_id,
        id=revision_id,
        files={main_file(language): (code or "").encode()},
        language=language,
        runtime=runtime,
        functions=(function,),
        face_data=msgspec.json.encode(_KeptVersion(msgspec.Raw(schema))),
    )


def code_of(version: Version, files: Mapping[str, bytes]) -> str:
    """Return the code of a revision. One that another contract deployed has its main file, if it is called so."""
    return files.get(main_file(version.language), b"").decode(errors="replace")


def schema_of(version: Version) -> bytes:
    """Return the schema of a revision's input, as it came; of one that was made natively, that of its function."""
    if version.face_data is not None:
        with suppress(msgspec.DecodeError):
            return bytes(msgspec.json.decode(version.face_data, type=_KeptVersion).input_schema)
    return next((f.input_schema for f in version.functions if f.name == _ENTRYPOINT and f.input_schema), _ANYTHING)


def pointer(revision_id: str) -> bytes:
    """Return what a package keeps of its current revision."""
    return msgspec.json.encode(_Pointer(revision_id))


def revision_of(package: Package) -> str:
    """Return the id of the current revision of a tool; "" if nobody said: one that was made natively."""
    try:
        return msgspec.json.decode(package.face_data or b"{}", type=_Pointer).revision_id
    except msgspec.DecodeError:
        return ""


def _edit_violations(form: _Form, new: bool) -> Iterator[FieldViolation]:
    for field in ("code", "language", "name"):
        value = getattr(form, field)
        if new and value is None:
            yield FieldViolation(field, "is required")
        elif field != "language" and value is not None and not value.strip():
            yield FieldViolation(field, "must not be empty")
    if form.language is not None and form.language.lower() not in LANGUAGES:
        yield FieldViolation("language", f"must be one of {', '.join(LANGUAGES)}")
    if form.code is not None and len(form.code.encode()) > _CODE_BYTES:
        yield FieldViolation("code", f"must have at most {_CODE_BYTES} bytes")
    schema = present(form.input_schema)
    if schema is not None and not schema.startswith(b"{"):
        yield FieldViolation("input_schema", "must be a JSON Schema, an object")


def _environment(entries: Sequence[_Env]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that have values, and those whose values are secrets; of two of one name the later one."""
    env: dict[str, str] = {}
    secret_env: dict[str, str] = {}
    for entry in entries:
        name = entry.name or ""
        env.pop(name, None)
        secret_env.pop(name, None)
        if entry.secret_id:
            secret_env[name] = entry.secret_id
        else:
            env[name] = entry.value or ""
    return env, secret_env
