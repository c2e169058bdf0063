"""Runtimes and their revisions: between ``polycall.v1`` messages and the domain."""

from __future__ import annotations

from polycall.domain import Language, RevisionState, Runtime, RuntimeRevision
from polycall.engine.runtimes import RevisionDraft
from polycall.names import RUNTIME_RULE, RevisionName, RuntimeName, is_runtime_id
from polycall.quick import dataclass
from polycall.services.execution_messages import LANGUAGE_VALUES, LANGUAGES
from polycall.services.scalars import clean, enum_values, known, milliseconds, page_size, request_id, timestamp
from polycall.services.violations import Violations
from polycall.v1 import runtime_pb2, runtime_service_pb2

__all__ = [
    "NewRevision",
    "NewRuntime",
    "read_new_revision",
    "read_new_runtime",
    "read_revisions_page",
    "read_runtimes_page",
    "read_wait",
    "revision_message",
    "runtime_message",
]

_STATES = enum_values(runtime_pb2.RuntimeRevision.State, "STATE", RevisionState)
_DEFAULT_WAIT_MS, _LONGEST_WAIT_MS = 60_000, 600_000  # as of executions


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRuntime:
    """A CreateRuntimeRequest."""

    runtime: Runtime
    draft: RevisionDraft | None
    request_id: str | None
    validate_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRevision:
    """A CreateRuntimeRevisionRequest."""

    runtime_id: str
    draft: RevisionDraft
    request_id: str | None
    validate_only: bool


def runtime_message(runtime: Runtime, newest: RuntimeRevision | None) -> runtime_pb2.Runtime:
    """Render a runtime and its newest revision."""
    return runtime_pb2.Runtime(
        language=LANGUAGE_VALUES[runtime.language],
        name=str(RuntimeName(runtime.id)),
        display_name=runtime.display_name,
        create_time=timestamp(runtime.created_at),
        newest_revision=revision_message(newest, log=False) if newest is not None else None,
    )


def revision_message(revision: RuntimeRevision, *, log: bool = True) -> runtime_pb2.RuntimeRevision:
    """Render a revision, with its log or without."""
    return runtime_pb2.RuntimeRevision(
        name=str(RevisionName(revision.runtime_id, revision.id)),
        state=_STATES[revision.state],
        manifest=revision.manifest,
        manifest_file=revision.manifest_kind.value,
        additional_imports=revision.additional_imports,
        error=clean(revision.error) if revision.error is not None else None,
        log=clean(revision.log) if log else None,
        log_truncated=revision.log_truncated,
        digest=revision.digest,
        size_bytes=revision.size_bytes,
        file_count=revision.file_count,
        preloaded=revision.preload,
        create_time=timestamp(revision.created_at),
        start_time=timestamp(revision.started_at),
        end_time=timestamp(revision.ended_at),
    )


def read_new_runtime(request: runtime_service_pb2.CreateRuntimeRequest) -> NewRuntime:
    """Read a CreateRuntimeRequest. Raises InvalidArgument."""
    wrong = Violations()
    if request.runtime_id and not is_runtime_id(request.runtime_id):
        wrong.add("runtime_id", RUNTIME_RULE)
    language = known(request.runtime.language, LANGUAGES, Language.PYTHON, "runtime.language", wrong)
    token = request_id(request.request_id, wrong)
    wrong.refuse()
    runtime = Runtime(
        project_id="",
        id=request.runtime_id,
        language=language,
        created_at=0,
        display_name=request.runtime.display_name,
    )
    return NewRuntime(
        runtime=runtime,
        draft=_draft(request.revision) if request.HasField("revision") else None,
        request_id=token,
        validate_only=request.validate_only,
    )


def read_new_revision(request: runtime_service_pb2.CreateRuntimeRevisionRequest) -> NewRevision:
    """Read a CreateRuntimeRevisionRequest. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: RuntimeName.parse(request.parent, "parent"))
    if request.revision_id and not is_runtime_id(request.revision_id):
        wrong.add("revision_id", RUNTIME_RULE)
    token = request_id(request.request_id, wrong)
    if wrong or name is None:
        raise wrong.error()
    return NewRevision(
        runtime_id=name.runtime,
        draft=_draft(request.revision, request.revision_id),
        request_id=token,
        validate_only=request.validate_only,
    )


def read_runtimes_page(request: runtime_service_pb2.ListRuntimesRequest) -> tuple[int, str]:
    """Read a ListRuntimesRequest: page size and token. Raises InvalidArgument."""
    wrong = Violations()
    size = page_size(request.page_size, wrong)
    wrong.refuse()
    return size, request.page_token


def read_revisions_page(request: runtime_service_pb2.ListRuntimeRevisionsRequest) -> tuple[str, int, str]:
    """Read a ListRuntimeRevisionsRequest: runtime, page size and token. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: RuntimeName.parse(request.parent, "parent"))
    size = page_size(request.page_size, wrong)
    if wrong or name is None:
        raise wrong.error()
    return name.runtime, size, request.page_token


def read_wait(request: runtime_service_pb2.WaitRuntimeRevisionRequest) -> tuple[RevisionName, float]:
    """Read a WaitRuntimeRevisionRequest: which, and how many seconds. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: RevisionName.parse(request.name, whole=True))
    wait_ms = milliseconds(request.timeout) if request.HasField("timeout") else _DEFAULT_WAIT_MS
    if not 0 <= wait_ms <= _LONGEST_WAIT_MS:
        wrong.add("timeout", f"must be 0 to {_LONGEST_WAIT_MS // 1000} s")
    if wrong or name is None:
        raise wrong.error()
    return name, wait_ms / 1000


def _draft(revision: runtime_pb2.RuntimeRevision, revision_id: str = "") -> RevisionDraft:
    return RevisionDraft(manifest=revision.manifest, additional_imports=revision.additional_imports, id=revision_id)
