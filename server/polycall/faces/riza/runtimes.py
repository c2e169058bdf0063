"""The vendor's runtimes and their revisions: the engine's, in other words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from polycall.domain import Language, ManifestKind, RevisionState, Runtime, RuntimeRevision
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.wire import decode
from polycall.quick import dataclass
from polycall.runtimes.manifest import kind_for

__all__ = ["RevisionAsk", "RevisionBody", "RuntimeAsk", "RuntimeBody", "read_revision", "read_runtime", "renamed"]

_LANGUAGES = (Language.PYTHON.value, Language.JAVASCRIPT.value)
_ENGINES = ("wasi", "microvm", "v8")
_ENGINE = "microvm"

# "cancelled" is the vendor's for what was deleted in the middle: here such a revision is gone.
_STATUSES: Mapping[RevisionState, str] = {
    RevisionState.PENDING: "pending",
    RevisionState.BUILDING: "building",
    RevisionState.READY: "succeeded",
    RevisionState.FAILED: "failed",
}

# What the engine calls the fields of a runtime, and what this contract does.
_FIELDS = {
    "revision.manifest": "manifest_file.contents",
    "revision.additional_imports": "additional_python_imports",
    "runtime.display_name": "name",
}


class _Manifest(msgspec.Struct):
    name: str | None = None
    contents: str | None = None


class _RevisionForm(msgspec.Struct):
    manifest_file: _Manifest | None = None
    additional_python_imports: str | None = None


class _RuntimeForm(_RevisionForm):
    language: str | None = None
    name: str | None = None
    engine: str | None = None


class _Kept(msgspec.Struct):
    """What is kept beside a runtime."""

    engine: str = _ENGINE


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionAsk:
    """A revision to be built. ``kind`` is that of the file's name."""

    kind: ManifestKind
    manifest: str
    imports: str

    def check(self, language: Language) -> None:
        """Raise InvalidArgument if the manifest is another language's."""
        wanted = kind_for(language)
        if self.kind is not wanted:
            raise InvalidArgument.of("manifest_file.name", f"must be {wanted} for {language}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeAsk:
    """A runtime to be made, with its first revision. ``face_data``: what is to be kept beside it."""

    name: str
    language: Language
    revision: RevisionAsk
    face_data: bytes


class _ManifestBody(msgspec.Struct):
    name: str
    contents: str


class RevisionBody(msgspec.Struct, omit_defaults=True):
    """The vendor's Revision."""

    id: str
    manifest_file: _ManifestBody
    runtime_id: str
    status: str
    additional_python_imports: str | None = None

    @classmethod
    def of(cls, revision: RuntimeRevision) -> RevisionBody:
        """Show a revision."""
        return cls(
            id=revision.id,
            manifest_file=_ManifestBody(revision.manifest_kind.value, revision.manifest),
            runtime_id=revision.runtime_id,
            status=_STATUSES[revision.state],
            additional_python_imports=revision.additional_imports or None,
        )


class RuntimeBody(msgspec.Struct, omit_defaults=True):
    """The vendor's Runtime: what its newest revision is, under its own id."""

    id: str
    engine: str
    language: str
    name: str
    revision_id: str
    status: str
    manifest_file: _ManifestBody
    additional_python_imports: str | None = None

    @classmethod
    def of(cls, runtime: Runtime, newest: RuntimeRevision) -> RuntimeBody:
        """Show a runtime. One that another contract made has the usual engine, and its id for want of a name."""
        shown = RevisionBody.of(newest)
        return cls(
            id=runtime.id,
            engine=_kept(runtime.face_data).engine,
            language=runtime.language.value,
            name=runtime.display_name or runtime.id,
            revision_id=newest.id,
            status=shown.status,
            manifest_file=shown.manifest_file,
            additional_python_imports=shown.additional_python_imports,
        )


def read_runtime(body: bytes) -> RuntimeAsk:
    """Read the body of a new runtime. Raises Malformed, InvalidArgument naming everything that is wrong."""
    form = decode(body, _RuntimeForm)
    language, engine = (form.language or "").lower(), (form.engine or _ENGINE).lower()
    wrong = [*_language_violations(form.language), *_manifest_violations(form)]
    if not form.name:
        wrong.append(FieldViolation("name", "is required" if form.name is None else "must not be empty"))
    if engine not in _ENGINES:
        wrong.append(FieldViolation("engine", f"must be one of {', '.join(_ENGINES)}"))
    if wrong:
        raise InvalidArgument(wrong)
    ask = RuntimeAsk(
        name=form.name or "",
        language=Language(language),
        revision=_revision(form),
        face_data=msgspec.json.encode(_Kept(engine)),
    )
    ask.revision.check(ask.language)
    return ask


def read_revision(body: bytes) -> RevisionAsk:
    """Read the body of a new revision. Raises Malformed, InvalidArgument."""
    form = decode(body, _RevisionForm)
    wrong = list(_manifest_violations(form))
    if wrong:
        raise InvalidArgument(wrong)
    return _revision(form)


def renamed(error: InvalidArgument) -> InvalidArgument:
    """Return what the engine has against a runtime, with this contract's names of the fields."""
    return InvalidArgument([FieldViolation(_FIELDS.get(v.field, v.field), v.description) for v in error.violations])


def _language_violations(language: str | None) -> Iterator[FieldViolation]:
    if language is None:
        yield FieldViolation("language", "is required")
    elif language.lower() not in _LANGUAGES:
        yield FieldViolation("language", f"must be one of {', '.join(_LANGUAGES)}")


def _manifest_violations(form: _RevisionForm) -> Iterator[FieldViolation]:
    file = form.manifest_file
    if file is None:
        yield FieldViolation("manifest_file", "is required")
        return
    if file.name is None:
        yield FieldViolation("manifest_file.name", "is required")
    elif file.name not in tuple(ManifestKind):
        yield FieldViolation("manifest_file.name", f"must be one of {', '.join(ManifestKind)}")
    if file.contents is None:
        yield FieldViolation("manifest_file.contents", "is required")


def _revision(form: _RevisionForm) -> RevisionAsk:
    file = form.manifest_file or _Manifest()
    return RevisionAsk(
        kind=ManifestKind(file.name or ""), manifest=file.contents or "", imports=form.additional_python_imports or ""
    )


def _kept(face_data: bytes | None) -> _Kept:
    if face_data is None:
        return _Kept()
    try:
        return msgspec.json.decode(face_data, type=_Kept)
    except msgspec.DecodeError:  # another face's
        return _Kept()
