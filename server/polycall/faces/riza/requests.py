"""What the face is sent, read strictly. Unknown members are ignored, ``null`` is absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from polycall.domain import Convention, InputFile, Language, LimitOverrides
from polycall.engine.limits import MIB
from polycall.engine.requests import AdHocRun
from polycall.errors import FieldViolation, InvalidArgument, RuntimeMissing
from polycall.faces.riza.outbound import Allow, Http, http_violations, policy_of
from polycall.faces.riza.records import Record
from polycall.faces.wire import decode, present
from polycall.quick import dataclass

__all__ = ["BODY_LIMIT", "LANGUAGES", "Bounds", "Call", "limits_of", "read_function_call", "read_script_call"]

BODY_LIMIT = 64 * MIB  # contract, section 6.6

# Contract, sections 4 and 6.6.
_TIMEOUT_S, _MEMORY_MIB = 30, 128
_STDOUT_BYTES, _STDERR_BYTES = 20 * MIB, 10 * MIB
# The contract has no limit of its own. With what output and its escapes may take (`results`), an answer stays below the
# 64 MiB that pass the gateway.
_OUTPUT_BYTES = 15 * MIB

LANGUAGES = tuple(language.value for language in Language)
# The contract's own, of which an installation need not have all.
_SCRIPT_LANGUAGES = (*LANGUAGES, "ruby", "php")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What may be asked for: seconds and MiB, both ends included; and what holds if nothing is."""

    min_timeout_s: int = 1
    max_timeout_s: int
    min_memory_mib: int
    max_memory_mib: int

    @property
    def default_timeout_s(self) -> int:
        """The contract's default, as far as the operator allows it."""
        return min(_TIMEOUT_S, self.max_timeout_s)

    @property
    def default_memory_mib(self) -> int:
        """The contract's default, as far as the operator allows it."""
        return min(_MEMORY_MIB, self.max_memory_mib)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as it was asked for. ``record``: the request in its canonical form, credentials masked."""

    run: AdHocRun
    timeout_s: int
    runtime_revision_id: str | None
    record: Record


class _File(msgspec.Struct, omit_defaults=True):
    path: str | None = None
    contents: str | None = None


class _Limits(msgspec.Struct, omit_defaults=True):
    execution_timeout: int | None = None
    memory_size: int | None = None


class _Form(msgspec.Struct, omit_defaults=True):
    code: str | None = None
    language: str | None = None
    env: dict[str, str] | None = None
    files: list[_File] | None = None
    http: Http | None = None
    limits: _Limits | None = None
    runtime_revision_id: str | None = None


class _FunctionForm(_Form, omit_defaults=True):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ScriptForm(_Form, omit_defaults=True):
    args: list[str] | None = None
    stdin: str | None = None
    allow_http_hosts: list[str] | None = None  # how older clients spell http.allow


def read_function_call(body: bytes, bounds: Bounds) -> Call:
    """Read the body of execute-function.

    Raises Malformed for what is not JSON of the right shape, InvalidArgument naming every value that breaks a rule.
    """
    form = decode(body, _FunctionForm)
    _check(form, LANGUAGES, bounds)
    run = replace(_run(form, bounds), input=present(form.input) or b"null")
    return _call("function", form, run)


def read_script_call(body: bytes, bounds: Bounds) -> Call:
    """Read the body of execute.

    Raises as ``read_function_call``, and RuntimeMissing for a language of the contract that polycall does not have.
    """
    form = decode(body, _ScriptForm)
    _check(form, _SCRIPT_LANGUAGES, bounds)
    if form.http is None and form.allow_http_hosts is not None:
        form.http = Http([Allow(host) for host in form.allow_http_hosts])
    form.allow_http_hosts = None
    run = replace(
        _run(form, bounds),
        convention=Convention.SCRIPT,
        args=tuple(form.args or ()),
        stdin=(form.stdin or "").encode(),
    )
    return _call("script", form, run)


def _check(form: _Form, languages: tuple[str, ...], bounds: Bounds) -> None:
    limits = form.limits or _Limits()
    wrong = [
        *_code_violations(form, languages),
        *_file_violations(form.files or []),
        *_limit_violations(limits, bounds),
        *http_violations(form.http),
    ]
    if wrong:
        raise InvalidArgument(wrong)


def _run(form: _Form, bounds: Bounds) -> AdHocRun:
    limits = form.limits or _Limits()
    form.language = (form.language or "").lower()
    if form.language not in LANGUAGES:
        raise RuntimeMissing(
            f"{form.language} is not installed on this server.",
            subject=form.language,
            metadata={"language": form.language},
        )
    return AdHocRun(
        code=form.code or "",
        language=Language(form.language),
        env=form.env or {},
        egress=policy_of(form.http),
        files=tuple(_files(form.files or [])),
        limits=limits_of(
            limits.execution_timeout or bounds.default_timeout_s, limits.memory_size or bounds.default_memory_mib
        ),
    )


def limits_of(timeout_s: int, memory_mib: int) -> LimitOverrides:
    """Return the limits of a run of this face."""
    return LimitOverrides(
        timeout_ms=timeout_s * 1000,
        memory_bytes=memory_mib * MIB,
        result_bytes=_OUTPUT_BYTES,
        stdout_bytes=_STDOUT_BYTES,
        stderr_bytes=_STDERR_BYTES,
    )


def _call(kind: str, form: _Form, run: AdHocRun) -> Call:
    assert run.limits.timeout_ms is not None  # noqa: S101  set above
    kept = msgspec.structs.replace(form, http=form.http and form.http.masked())
    return Call(
        run=run,
        timeout_s=run.limits.timeout_ms // 1000,
        runtime_revision_id=form.runtime_revision_id or None,
        record=Record.of(kind, kept),
    )


def _code_violations(form: _Form, languages: tuple[str, ...]) -> Iterator[FieldViolation]:
    if form.code is None:
        yield FieldViolation("code", "is required")
    if form.language is None:
        yield FieldViolation("language", "is required")
    elif form.language.lower() not in languages:
        yield FieldViolation("language", f"must be one of {', '.join(languages)}")


def _file_violations(files: list[_File]) -> Iterator[FieldViolation]:
    for index, file in enumerate(files):
        if file.contents and not file.path:
            yield FieldViolation(f"files[{index}].path", "is required where there are contents")


def _files(files: list[_File]) -> Iterator[InputFile]:
    """Yield the files to write; an entry with neither path nor contents asks for nothing."""
    for file in files:
        if file.path:
            path = "/".join(part for part in file.path.split("/") if part != ".")
            yield InputFile(path, (file.contents or "").encode())


def _limit_violations(limits: _Limits, bounds: Bounds) -> Iterator[FieldViolation]:
    asked, low, high = limits.execution_timeout, bounds.min_timeout_s, bounds.max_timeout_s
    if asked and not low <= asked <= high:
        rule = f"must be {low} to {high} seconds, or 0 for {bounds.default_timeout_s}"
        yield FieldViolation("limits.execution_timeout", rule)
    asked, low, high = limits.memory_size, bounds.min_memory_mib, bounds.max_memory_mib
    if asked and not low <= asked <= high:
        rule = f"must be {low} to {high} MiB, or 0 for {bounds.default_memory_mib}"
        yield FieldViolation("limits.memory_size", rule)
