"""From a source and a manifest to a version on the server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from polycall.cli.failures import Failure
from polycall.cli.manifest import (
    EgressEntry,
    FunctionEntry,
    LimitsEntry,
    Manifest,
    OutputEntry,
    ParameterEntry,
    WarmEntry,
    default_json,
)
from polycall.cli.options import limits_of, runtime_name, secret_name
from polycall.domain import Language
from polycall.names import PackageName

if TYPE_CHECKING:
    from polycall.cli.client import Client
    from polycall.cli.source import Source
    from polycall.v1.execution_pb2 import EgressPolicy, Limits
    from polycall.v1.package_pb2 import DeclaredType, Function, Parameter, Version, WarmPolicy
    from polycall.v1.package_service_pb2 import CreateVersionRequest

__all__ = ["deploy", "version_request"]

_REFERENCE = "secret"  # in any credential: the id of a secret of the server, in place of its secret text


def deploy(client: Client, source: Source, manifest: Manifest, *, validate_only: bool = False) -> Version:
    """Create the version, and its package if there is none; name and describe the package. Raises Failure."""
    request = version_request(source, manifest, validate_only)
    try:
        version: Version = client.call(client.packages.CreateVersion, request)
    except Failure as failure:
        if failure.reason != "ALREADY_EXISTS":
            raise
        hint = "A version never changes: give another --version, or none for the next number."
        raise Failure(f"{failure.message} {hint}", failure.code, reason=failure.reason) from None
    if not validate_only:
        _describe(client, manifest)
    return version


def _runtime(text: str) -> str:
    """Return the name of a runtime that may be spelled by its id; a language's name is the server's own."""
    return text if text in ("", *Language) else runtime_name(text)


def version_request(source: Source, manifest: Manifest, validate_only: bool = False) -> CreateVersionRequest:
    """Return what to ask of PackageService.CreateVersion. Raises Failure."""
    from polycall.v1 import package_pb2, package_service_pb2

    if not manifest.package:
        raise Failure("the package has no id: give --package, or `package` in polycall.toml.")
    request = package_service_pb2.CreateVersionRequest(
        parent=str(PackageName(manifest.package)),
        version_id=manifest.version,
        version=package_pb2.Version(
            language=f"LANGUAGE_{(manifest.language or source.language).name}",
            runtime=_runtime(manifest.runtime),
            functions=[_function(name, entry) for name, entry in manifest.functions.items()],
            limits=_limits(manifest.limits),
            env=manifest.env,
            secret_env={name: secret_name(secret) for name, secret in manifest.secret_env.items()},
            egress=_egress(manifest.egress),
            fresh_process=manifest.fresh,
            warm=_warm(manifest.warm) if manifest.warm != WarmEntry() else None,
        ),
        create_package=True,
        release=manifest.release,
        validate_only=validate_only,
    )
    if source.archive is not None:
        request.zip = source.archive
    else:
        files = [package_pb2.SourceFile(path=path, contents=data) for path, data in source.files.items()]
        request.files.CopyFrom(package_pb2.SourceFiles(files=files))
    return request


def _warm(entry: WarmEntry) -> WarmPolicy:
    from polycall.v1 import package_pb2

    policy = package_pb2.WarmPolicy(min=entry.min, max=entry.max)
    if (idle_s := entry.idle_s()) is not None:
        policy.idle.FromMilliseconds(round(idle_s * 1000))
    return policy


def _limits(entry: LimitsEntry) -> Limits:
    limits = limits_of(entry.timeout_s(), entry.memory_mib, entry.cpu_time_s())
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if name not in ("timeout", "cpu_time") and value is not None:
            setattr(limits, name, value)
    return limits


def _egress(entries: Sequence[EgressEntry]) -> EgressPolicy | None:
    from polycall.v1 import execution_pb2 as pb

    rules = []
    for entry in entries:
        rule = pb.EgressRule(host=entry.host)
        at = f"egress of {entry.host}"
        if entry.basic is not None:
            rule.credentials.add().basic.CopyFrom(
                pb.Credential.Basic(**_fields(entry.basic, at, "user_id", "password"))
            )
        if entry.bearer is not None:
            bearer = {"token": entry.bearer} if isinstance(entry.bearer, str) else entry.bearer
            rule.credentials.add().bearer.CopyFrom(pb.Credential.Bearer(**_fields(bearer, at, "token")))
        if entry.header is not None:
            rule.credentials.add().header.CopyFrom(pb.Credential.Header(**_fields(entry.header, at, "name", "value")))
        if entry.query is not None:
            rule.credentials.add().query.CopyFrom(pb.Credential.Query(**_fields(entry.query, at, "key", "value")))
        rules.append(rule)
    return pb.EgressPolicy(rules=rules) if rules else None


def _fields(table: Mapping[str, str], at: str, *names: str) -> dict[str, str]:
    unknown = next((name for name in table if name not in (*names, _REFERENCE)), None)
    if unknown is not None:
        raise Failure(f"{at}: {unknown} is not a key; it has {' and '.join(names)}, or {_REFERENCE}.")
    read = {name: _from_environment(value, at) for name, value in table.items()}
    if _REFERENCE in read:
        read[_REFERENCE] = secret_name(read[_REFERENCE])
    return read


def _from_environment(value: str, at: str) -> str:
    if not value.startswith("$"):
        return value
    found = os.environ.get(value[1:])
    if found is None:
        raise Failure(f"{at}: the environment variable {value[1:]} is not set.")
    return found


def _function(name: str, entry: FunctionEntry) -> Function:
    import json

    from polycall.v1 import package_pb2

    convention = entry.convention.name if entry.convention else "UNSPECIFIED"  # the server's default
    return package_pb2.Function(
        name=name,
        entrypoint=entry.entrypoint,
        convention=f"CONVENTION_{convention}",
        input_schema_json=json.dumps(entry.input_schema) if entry.input_schema is not None else "",
        parameters=_parameters(entry.parameters),
        output=_declared(entry.output) if entry.output is not None else None,
        display_name=entry.display_name,
        description=entry.description,
        private=entry.private,
    )


def _parameters(entries: Iterable[ParameterEntry]) -> list[Parameter]:
    from polycall.v1 import package_pb2

    return [
        package_pb2.Parameter(
            name=entry.name,
            declared_type=_declared(entry),
            default_json=default_json(entry),
            display_name=entry.display_name,
        )
        for entry in entries
    ]


def _declared(entry: OutputEntry | ParameterEntry) -> DeclaredType:
    from polycall.v1 import package_pb2

    return package_pb2.DeclaredType(
        type=entry.type, is_list=entry.list, nullable=entry.nullable, children=_parameters(entry.children)
    )


def _describe(client: Client, manifest: Manifest) -> None:
    from google.protobuf.field_mask_pb2 import FieldMask

    from polycall.v1 import package_pb2, package_service_pb2

    given = {
        name: value
        for name in ("display_name", "description", "labels")
        if (value := getattr(manifest, name)) is not None
    }
    if given:
        package = package_pb2.Package(name=str(PackageName(manifest.package)), **given)
        request = package_service_pb2.UpdatePackageRequest(package=package, update_mask=FieldMask(paths=list(given)))
        client.call(client.packages.UpdatePackage, request)
