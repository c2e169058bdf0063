"""Values with every field set, so that what a store forgets is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from polycall.domain import (
    Convention,
    Credential,
    CredentialKind,
    DeclaredType,
    EgressPolicy,
    EgressRule,
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    FaceObject,
    Function,
    IsolationLevel,
    Language,
    LimitOverrides,
    Limits,
    ManifestKind,
    MissedTicks,
    OutboundRequest,
    Overlap,
    Package,
    Parameter,
    Reason,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Schedule,
    Secret,
    StartKind,
    Usage,
    Version,
    VersionState,
    WarmPolicy,
)
from polycall.ids import new_id, now_ms

LOST = ExecutionError(reason=Reason.WORKER_LOST, message="lost")
LATE = ExecutionError(reason=Reason.EXECUTION_TIMEOUT, message="late")

LIMITS = Limits(
    timeout_ms=1,
    memory_bytes=2**40,
    processes=3,
    open_files=4,
    disk_bytes=5,
    result_bytes=6,
    stdout_bytes=7,
    stderr_bytes=8,
)


def recorded(**changes: Any) -> Execution:
    """Return a synchronous execution that has ended."""
    now = now_ms()
    execution = Execution(
        id=new_id(),
        project_id="default",
        kind=ExecutionKind.SYNC,
        state=ExecutionState.FAILED,
        queued_at=now - 3,
        started_at=now - 2,
        ended_at=now - 1,
        language=Language.TYPESCRIPT,
        package_id="package",
        version_id="1.0.1",
        function="function",
        face="guance",
        face_data=b'{"x": 1.0, "n": 9007199254740993}',
        deadline=now + 1000,
        attempt=1,
        created_by="key",
        input=b'{ "n": 9007199254740993, "x": 1.0 }',
        result=b"null",
        error=ExecutionError(
            reason=Reason.USER_EXCEPTION, message="no\0 \U0001f600", type="ValueError", module="builtins", traceback="t"
        ),
        exit_code=1,
        signal=9,
        stdout=b"\x00\xff out",
        stderr=b"err",
        stdout_truncated=True,
        usage=Usage(queue_us=1, start_us=2, run_us=3, cpu_us=4, peak_memory_bytes=2**41),
        outbound=(
            OutboundRequest(time_ms=now, host="api.example.com", port=443, method="GET", status=200, received_bytes=5),
            OutboundRequest(time_ms=now, host="other.example", port=80, method="POST", refused="not allowed"),
        ),
        outbound_omitted=7,
        limits=LIMITS,
        start_kind=StartKind.WARM,
        isolation=IsolationLevel.CONTAINED,
    )
    return replace(execution, **changes)


def queued(**changes: Any) -> Execution:
    """Return a Call that waits."""
    execution = Execution(
        id=new_id(),
        project_id="default",
        kind=ExecutionKind.CALL,
        state=ExecutionState.QUEUED,
        queued_at=now_ms(),
        package_id="package",
        version_id="1",
        function="function",
        max_attempts=3,
        created_by="key",
        input=b'{"a": 1}',
        limits=LIMITS,
        spec=b'{"fresh": true}',
        face_data=b"{}",
    )
    return replace(execution, **changes)


def ended(claimed: Execution, **changes: Any) -> Execution:
    """Return a claimed Call as it has completed."""
    final = replace(
        claimed,
        state=ExecutionState.COMPLETED,
        ended_at=now_ms(),
        result=b'{"b": 2}',
        outbound=(OutboundRequest(time_ms=1, host="api.example.com", port=443, method="CONNECT", status=200),),
        outbound_omitted=1,
        stdout=b"out",
        stderr=b"err",
        stderr_truncated=True,
        exit_code=0,
        usage=Usage(queue_us=1, start_us=2, run_us=3, cpu_us=4, peak_memory_bytes=5),
        start_kind=StartKind.FORKED,
        isolation=IsolationLevel.NAMESPACED,
    )
    return replace(final, **changes)


def package(package_id: str = "package", **changes: Any) -> Package:
    """Return a package."""
    value = Package(
        project_id="default",
        id=package_id,
        created_at=1000,
        updated_at=2000,
        display_name="A package",
        description="of \U0001f600",
        labels={"team": "a", "": "b"},
    )
    return replace(value, **changes)


def face_object(object_id: str, **changes: Any) -> FaceObject:
    """Return an object of a face."""
    value = FaceObject(
        project_id="default",
        face="guance",
        kind="set",
        id=object_id,
        created_at=1000,
        updated_at=2000,
        data=b'{"title":"\xc3\xa9"}',
    )
    return replace(value, **changes)


def schedule(schedule_id: str = "s", **changes: Any) -> Schedule:
    """Return a schedule."""
    value = Schedule(
        project_id="default",
        id=schedule_id,
        package_id="package",
        version_id="1",
        function="function",
        cron="*/5 * * * *",
        timezone="Europe/Oslo",
        input=b'{ "n": 9007199254740993 }',
        limits=LimitOverrides(timeout_ms=5),
        max_attempts=2,
        deadline_ms=2**40,
        overlap=Overlap.SKIP,
        missed=MissedTicks.RUN_LAST,
        display_name="S\u00e5",
        description="d",
        created_at=1000,
        updated_at=1001,
        created_by="key",
        face="cognite",
        face_data=b"{}",
        next_run=2**42,
        last_run=5,
        runs=2**40,
        skipped=2**41,
        last_skipped=4,
        last_skip="why",
        revision=3,
    )
    return replace(value, **changes)


def runtime(runtime_id: str = "runtime", **changes: Any) -> Runtime:
    """Return a runtime."""
    value = Runtime(
        project_id="default",
        id=runtime_id,
        language=Language.JAVASCRIPT,
        created_at=1000,
        display_name="R\u00fcntime",
        created_by="key",
        face_data=b"{}",
    )
    return replace(value, **changes)


def revision(revision_id: str = "1", **changes: Any) -> RuntimeRevision:
    """Return a revision that was built."""
    value = RuntimeRevision(
        project_id="default",
        runtime_id="runtime",
        id=revision_id,
        language=Language.PYTHON,
        manifest_kind=ManifestKind.REQUIREMENTS_TXT,
        manifest="numpy\n\u00e9",
        state=RevisionState.READY,
        created_at=1000,
        additional_imports="numpy.linalg",
        started_at=1001,
        ended_at=1002,
        digest="ab" * 32,
        size_bytes=2**40,
        file_count=7,
        preload=("numpy", "numpy.linalg"),
        log="built\n",
        log_truncated=True,
        error="none",
        created_by="key",
    )
    return replace(value, **changes)


def secret(secret_id: str = "secret", **changes: Any) -> Secret:
    """Return a secret."""
    value = Secret(
        project_id="default",
        id=secret_id,
        name="A s\u00e9cret",
        created_at=1000,
        updated_at=2000,
        face="riza",
        created_by="key",
    )
    return replace(value, **changes)


def version(version_id: str = "1", **changes: Any) -> Version:
    """Return a version; its bundle is what the store makes of its files."""
    children = (Parameter(name="inner", declared=DeclaredType(type="text", nullable=True)),)
    parameter = Parameter(
        name="n",
        declared=DeclaredType(type="object", is_list=True, children=children),
        default=b"9007199254740993",
        display_name="N",
    )
    function = Function(
        name="function",
        entrypoint="main:function",
        convention=Convention.PARAMETERS,
        input_schema=b'{"type": "object"}',
        parameters=(parameter,),
        output=DeclaredType(type="number"),
        display_name="F",
        description="d",
        private=True,
        accepts_any=True,
    )
    value = Version(
        project_id="default",
        package_id="package",
        id=version_id,
        state=VersionState.READY,
        language=Language.PYTHON,
        created_at=1000,
        bundle="",
        functions=(function, replace(function, name="other", input_schema=None, parameters=(), output=None)),
        limits=LimitOverrides(timeout_ms=5, memory_bytes=6),
        env={"A": "1"},
        secret_env={"B": "secret"},
        secrets={"token": "1.a.b"},
        egress=EgressPolicy(
            rules=(
                EgressRule(host="*.example.com"),
                EgressRule(
                    host="api.example.com:8443",
                    credentials=(Credential(kind=CredentialKind.HEADER, name="X-Key", secret="1.a.b", sealed=True),),
                ),
            )
        ),
        runtime="python",
        adapter="face",
        warm=WarmPolicy(min=1, max=3, idle_ms=60_000),
        reuse=False,
        created_by="key",
        face_data=b"{}",
    )
    return replace(value, **changes)
