"""Cognite Functions: functions with their zip files, and their schedules (contract, sections 4, 5 and 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from polycall.bundle import bundle_digest
from polycall.cli.failures import Failure
from polycall.cli.importing.cognite_api import MOST_ZIP_BYTES
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds, FoundPackage, FoundRuntime, FoundSchedule, FoundVersion, Remark
from polycall.cli.importing.keeping import Unfit, Useless, kept
from polycall.domain import (
    Convention,
    Function,
    Language,
    LimitOverrides,
    ManifestKind,
    Package,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Version,
    VersionState,
)
from polycall.engine.archive import read_zip
from polycall.errors import InvalidArgument
from polycall.names import RevisionName
from polycall.runtimes.manifest import Manifest, parse_manifest

__all__ = ["read"]

_FACE = "cognite"
_HANDLE = "handle"
_REQUIREMENTS = "requirements.txt"
_LARGEST_ID = 2**53 - 1  # the largest integer that every JSON reader keeps
_GIB = 1 << 30
_PAUSED = "it goes on there, and acts for a session of the importing key here; once it is stopped there:"


class _Function(msgspec.Struct, rename="camel"):
    id: int
    name: str
    file_id: int
    function_path: str | None = None
    external_id: str | None = None
    status: str | None = None
    description: str | None = None
    owner: str | None = None
    metadata: dict[str, str] | None = None
    secrets: dict[str, str] | None = None  # their values are masked
    env_vars: dict[str, str] | None = None
    cpu: float | None = None
    memory: float | None = None
    runtime: str | None = None


class _Schedule(msgspec.Struct, rename="camel"):
    id: int
    name: str
    function_id: int
    cron_expression: str
    description: str | None = None


class _Input(msgspec.Struct):
    id: int
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Functions(msgspec.Struct):
    items: list[_Function]


class _Schedules(msgspec.Struct):
    items: list[_Schedule] = []


class _Inputs(msgspec.Struct):
    items: list[_Input] = []


def read(export: Export, given: Sequence[str] = ()) -> Finds:
    """Return what an export holds. Raises Failure.

    ``given``: requirements of every function that does not name these packages itself, as the vendor's own runtime has
    packages that no function names.
    """
    given_manifest = _given(given)
    functions = export.decode("functions.json", _Functions).items
    schedules = export.decode("schedules.json", _Schedules, _Schedules()).items
    inputs = {each.id: bytes(each.data) for each in export.decode("input_data.json", _Inputs, _Inputs()).items}
    remarks: list[Remark] = []
    runtimes: dict[str, FoundRuntime] = {}
    packages = kept(functions, "function", lambda item: _package(export, item, runtimes, given_manifest), remarks)
    made = {found.package.id for found in packages}
    planned = kept(schedules, "schedule", lambda item: _schedule(item, made, inputs), remarks)
    # lists are newest first, and so are those of polycall: what is made first is the oldest
    return Finds(
        runtimes=tuple(runtimes[found.package.id] for found in reversed(packages) if found.package.id in runtimes),
        packages=tuple(reversed(packages)),
        schedules=tuple(reversed(planned)),
        remarks=tuple(remarks),
    )


def _package(export: Export, function: _Function, runtimes: dict[str, FoundRuntime], given: Manifest) -> FoundPackage:
    _check_id(function.id)
    if function.status == "Failed":
        raise Useless("it is Failed there: what could not be deployed cannot be called.")
    path = function.function_path or "handler.py"
    files = _files(export, function.file_id)
    if path not in files:
        raise Unfit(f"its zip file has no {path[:100]!r}.")
    package_id = str(function.id)
    runtime = _runtime(package_id, files.get(_REQUIREMENTS, b""), given)
    if runtime is not None:
        runtimes[package_id] = runtime
    return FoundPackage(
        package=Package(
            project_id="",
            id=package_id,
            created_at=0,
            updated_at=0,
            display_name=function.name,
            description=function.description or "",
            face=_FACE,
            alias=function.external_id or None,
            face_data=_beside(function, path),
        ),
        versions=(
            FoundVersion(
                version=_version(function, path, files, runtime),
                files=files,
                release=True,
                secret_names=tuple(function.secrets or ()),
            ),
        ),
    )


def _version(function: _Function, path: str, files: Mapping[str, bytes], runtime: FoundRuntime | None) -> Version:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    memory = function.memory
    if memory is not None and not 0 < memory < 1 << 20:
        raise Unfit(f"its memory is {memory:g} GB.")
    return Version(
        project_id="",
        package_id=str(function.id),
        id="1",
        state=VersionState.READY,
        language=Language.PYTHON,
        created_at=0,
        bundle=bundle_digest(files),
        functions=(Function(name=_HANDLE, entrypoint=f"{module}:{_HANDLE}", convention=Convention.HANDLE),),
        limits=LimitOverrides(memory_bytes=round(memory * _GIB) if memory is not None else None),
        env=function.env_vars or {},
        runtime=str(RevisionName(runtime.runtime.id, runtime.revisions[0].id)) if runtime is not None else "",
    )


def _beside(function: _Function, path: str) -> bytes:
    """Return what Cognite's contract keeps beside a package: what its function has and a package has not."""
    shown: dict[str, Any] = {
        "file_id": function.file_id,
        "function_path": path,
        "status": "Ready",
        "owner": function.owner,
        "metadata": function.metadata,
        "secret_names": list(function.secrets or ()),
        "env_vars": function.env_vars,
        "cpu": function.cpu,
        "memory": function.memory,
        "runtime": function.runtime,
    }
    return msgspec.json.encode({name: value for name, value in shown.items() if value not in (None, [])})


def _files(export: Export, file_id: int) -> Mapping[str, bytes]:
    name = f"files/{file_id}.zip"
    if not export.has(name):
        raise Unfit(f"its zip file ({name}) is not in the export.")
    try:
        return read_zip(export.read(name, MOST_ZIP_BYTES), name)
    except InvalidArgument as error:
        raise Unfit(f"{error.message}.") from None


def _given(lines: Sequence[str]) -> Manifest:
    try:
        return parse_manifest(ManifestKind.REQUIREMENTS_TXT, "\n".join(lines), "--requirement")
    except InvalidArgument as error:
        raise Failure(f"{error.message}.") from None


def _runtime(function_id: str, requirements: bytes, given: Manifest) -> FoundRuntime | None:
    """Return the runtime of a function whose zip file names packages, under the id that the contract gives it."""
    try:
        manifest = parse_manifest(ManifestKind.REQUIREMENTS_TXT, requirements.decode("utf-8-sig"), _REQUIREMENTS)
    except UnicodeDecodeError:
        raise Unfit(f"its {_REQUIREMENTS} is not UTF-8 text.") from None
    except InvalidArgument as error:
        raise Unfit(f"its {error.message}.") from None
    named = {_normal(name) for name in manifest.names}
    lines = zip(given.names, given.text.splitlines(), strict=True)
    text = manifest.text + "".join(f"{line}\n" for name, line in lines if _normal(name) not in named)
    if not text:
        return None
    runtime_id = f"cognite-{function_id}"
    name = f"Cognite function {function_id}"
    language = Language.PYTHON
    revision = RuntimeRevision(
        project_id="",
        runtime_id=runtime_id,
        id=f"{runtime_id}-1",
        language=language,
        manifest_kind=ManifestKind.REQUIREMENTS_TXT,
        manifest=text,
        state=RevisionState.PENDING,
        created_at=0,
    )
    runtime = Runtime(project_id="", id=runtime_id, language=language, created_at=0, display_name=name)
    return FoundRuntime(runtime=runtime, revisions=(revision,))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # as indexes compare names (PEP 503)


def _schedule(schedule: _Schedule, made: set[str], inputs: Mapping[int, bytes]) -> FoundSchedule:
    _check_id(schedule.id)
    if str(schedule.function_id) not in made:
        raise Unfit(f"its function {schedule.function_id} is not brought along.")
    return FoundSchedule(
        id=str(schedule.id),
        package_id=str(schedule.function_id),
        function=_HANDLE,
        cron=schedule.cron_expression,
        display_name=schedule.name,
        description=schedule.description or "",
        input_json=inputs.get(schedule.id, b"null").decode(errors="replace"),
        paused=_PAUSED,
        face=_FACE,
    )


def _check_id(identifier: int) -> None:
    if not 0 < identifier <= _LARGEST_ID:
        raise Unfit("its id must be from 1 to 2^53-1.")
