"""A package as the vendor's function: its status, its ``handle``, its limits, its JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from polycall.domain import Function, LimitOverrides, Package, Version, VersionState
from polycall.engine.limits import MIB
from polycall.faces.cognite.function_form import CPU
from polycall.faces.cognite.functiondata import FAILED, FunctionData
from polycall.quick import dataclass

__all__ = ["EXTERNAL_ID", "HANDLE", "INSTALLED", "LIMITS", "Deployed", "FunctionBody", "handle_of", "status_of"]

T = TypeVar("T")

EXTERNAL_ID = "external_id"  # the label of a package that holds its function's external id

# The vendor's limits: 10 minutes, 1.5 GB, 1 CPU, answers of 1 MB. It names none on logs; with 4 MiB a stream they stay,
# escaped and one entry a line, below the largest answer.
LIMITS = LimitOverrides(
    timeout_ms=600_000,
    memory_bytes=1536 * MIB,
    result_bytes=MIB,
    stdout_bytes=4 * MIB,
    stderr_bytes=4 * MIB,
)
# What functions run on: the interpreter that runs the server.
INSTALLED = f"py{sys.version_info.major}{sys.version_info.minor}"
_RUNTIME_VERSION = f"Python {'.'.join(map(str, sys.version_info[:3]))}"
_MASK = "***"
_GIB = 1024 * MIB
HANDLE = "handle"
_NO_HANDLE = "The version has no function `handle`, and not exactly one other; declare one with convention HANDLE."
_NO_FILE = 0  # code that came in by another door has no file; ids begin at 1, so this is nobody's
_TRACE_CHARS = 2000  # of the end of what went wrong, as the vendor shows it


@dataclass(frozen=True, slots=True)
class Deployed:
    """A package with its newest version; None before the first."""

    package: Package
    version: Version | None


class _Error(msgspec.Struct):
    message: str
    trace: str


class FunctionBody(msgspec.Struct, kw_only=True, rename="camel"):
    """The vendor's Function. Members that are not set are left out."""

    id: int
    created_time: int
    status: str
    name: str
    file_id: int
    function_path: str
    cpu: float
    memory: float
    runtime: str
    runtime_version: str
    external_id: str | msgspec.UnsetType = msgspec.UNSET
    owner: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    metadata: Mapping[str, str] | msgspec.UnsetType = msgspec.UNSET
    secrets: Mapping[str, str] | msgspec.UnsetType = msgspec.UNSET
    env_vars: Mapping[str, str] | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET
    last_called: int | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, deployed: Deployed, last_called: int | None) -> FunctionBody:
        """Show a package, which was last called at ``last_called`` (ms; None: never)."""
        package = deployed.package
        if (data := FunctionData.of(package)) is not None:
            return cls._made(package, data, last_called)
        version = deployed.version
        handle = handle_of(version) if version else None
        asked = version.limits.memory_bytes if version else None
        status = status_of(version)
        failure = (version.error or _NO_HANDLE) if version and status == "Failed" else None
        return cls(
            id=int(package.id),
            created_time=package.created_at,
            status=status,
            name=package.display_name or package.id,
            file_id=_NO_FILE,
            function_path=_path(handle),
            cpu=CPU.default,
            memory=(asked or LIMITS.memory_bytes or 0) / _GIB,
            runtime=INSTALLED,
            runtime_version=_RUNTIME_VERSION,
            external_id=package.labels.get(EXTERNAL_ID, msgspec.UNSET),
            description=package.description or msgspec.UNSET,
            env_vars=dict(version.env) if version and version.env else msgspec.UNSET,
            error=_Error(failure, failure[-_TRACE_CHARS:]) if failure else msgspec.UNSET,
            last_called=msgspec.UNSET if last_called is None else last_called,
        )

    @classmethod
    def _made(cls, package: Package, data: FunctionData, last_called: int | None) -> FunctionBody:
        failure = data.error if data.status == FAILED else None
        return cls(
            id=int(package.id),
            created_time=package.created_at,
            status=data.status,
            name=package.display_name,
            file_id=data.file_id,
            function_path=data.function_path,
            cpu=data.cpu,
            memory=data.memory,
            runtime=data.runtime or INSTALLED,
            runtime_version=_RUNTIME_VERSION,
            external_id=_given(package.alias),
            owner=_given(data.owner),
            description=_given(package.description or None),
            metadata=_given(data.metadata),
            secrets=dict.fromkeys(data.secret_names, _MASK) or msgspec.UNSET,
            env_vars=_given(data.env_vars),
            error=_Error(failure.message, failure.trace[-_TRACE_CHARS:]) if failure else msgspec.UNSET,
            last_called=_given(last_called),
        )


def handle_of(version: Version) -> Function | None:
    """Return the function that a call runs: ``handle``, or the only public one."""
    public = [function for function in version.functions if not function.private]
    named = [function for function in public if function.name == HANDLE]
    candidates = named or public
    return candidates[0] if len(candidates) == 1 else None


def status_of(version: Version | None) -> str:
    """Return the vendor's word for the state of a version."""
    if version is None or version.state is VersionState.DRAFT:
        return "Queued"
    if version.state is VersionState.ANALYSING:
        return "Deploying"
    return "Ready" if version.state.runnable and handle_of(version) else "Failed"


def _given(value: T | None) -> T | msgspec.UnsetType:
    return msgspec.UNSET if value is None else value


def _path(handle: Function | None) -> str:
    module = handle.entrypoint.partition(":")[0] if handle else "handler"
    return f"{module.replace('.', '/')}.py"
