"""Packages, versions and their functions: between ``polycall.v1`` messages and the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from polycall.domain import (
    DEFAULT_WARM,
    Convention,
    DeclaredType,
    Function,
    Package,
    Parameter,
    SchemaOrigin,
    Version,
    VersionState,
    WarmPolicy,
)
from polycall.engine.findings import Analysis, Problem
from polycall.names import PackageName, VersionName
from polycall.services.egress_messages import policy_message, secret_env_message
from polycall.services.execution_messages import CONVENTION_VALUES, CONVENTIONS, LANGUAGE_VALUES, overrides_message
from polycall.services.scalars import clean, duration, enum_values, json_text, known, timestamp
from polycall.services.violations import Violations
from polycall.v1 import package_pb2, package_service_pb2

__all__ = ["analysis_message", "package_message", "read_face_data", "read_functions", "version_message"]

_ORIGINS = enum_values(package_pb2.Function.SchemaOrigin, "SCHEMA_ORIGIN", SchemaOrigin)
_STATES = enum_values(package_pb2.Version.State, "STATE", VersionState)


def package_message(package: Package, *, listed: bool = False) -> package_pb2.Package:
    """Render a package; in a list, without what may be large."""
    return package_pb2.Package(
        name=str(PackageName(package.id)),
        display_name=package.display_name,
        description=package.description,
        labels=dict(package.labels),
        create_time=timestamp(package.created_at),
        update_time=timestamp(package.updated_at),
        face=package.face,
        alias=package.alias,
        face_data_json=_face_data_json(package.face_data, listed),
    )


def version_message(
    version: Version, source: Mapping[str, bytes] | None = None, *, listed: bool = False
) -> package_pb2.Version:
    """Render a version, with its source if it is given; in a list, without what may be large.

    One that was only checked may have no id.
    """
    return package_pb2.Version(
        name=str(VersionName(version.package_id, version.id)) if version.id else None,
        state=_STATES[version.state],
        language=LANGUAGE_VALUES[version.language],
        runtime=version.runtime,
        functions=[_function_message(function) for function in version.functions],
        limits=overrides_message(version.limits),
        env=dict(version.env),
        secret_env=secret_env_message(version.secret_env),
        egress=policy_message(version.egress),
        fresh_process=not version.reuse,
        error=clean(version.error) if version.error is not None else None,
        create_time=timestamp(version.created_at),
        release_time=timestamp(version.released_at if version.state is not VersionState.ANALYSING else None),
        source_digest=version.bundle,
        source=_source_message(source) if source is not None else None,
        warm=_warm_message(version.warm) if version.warm != DEFAULT_WARM else None,
        face_data_json=_face_data_json(version.face_data, listed),
        secrets=dict.fromkeys(version.secrets, ""),
    )


def _face_data_json(data: bytes | None, listed: bool) -> str | None:
    return None if data is None or listed else data.decode()


def read_face_data(text: str, field: str, wrong: Violations) -> bytes | None:
    """Read what a face keeps beside a package or a version: a JSON object; none if it is empty."""
    return _read_object(text, field, wrong)


def _warm_message(warm: WarmPolicy) -> package_pb2.WarmPolicy:
    return package_pb2.WarmPolicy(min=warm.min, max=warm.max, idle=duration(warm.idle_ms * 1000 or None))


def analysis_message(analysis: Analysis) -> package_service_pb2.AnalyzeSourceResponse:
    """Render what a source holds."""
    return package_service_pb2.AnalyzeSourceResponse(
        functions=[_function_message(function) for function in analysis.functions],
        problems=[_problem_message(problem) for problem in analysis.problems],
        notes=[_problem_message(note) for note in analysis.notes],
    )


def _problem_message(problem: Problem) -> package_service_pb2.SourceProblem:
    return package_service_pb2.SourceProblem(
        path=clean(problem.path), line=problem.line, column=problem.column, message=clean(problem.message)
    )


def read_functions(version: package_pb2.Version, wrong: Violations) -> tuple[Function, ...]:
    """Read declared functions; ``wrong`` takes what is wrong with them."""
    return tuple(
        _read_function(function, f"version.functions[{index}]", wrong)
        for index, function in enumerate(version.functions)
    )


def _read_function(function: package_pb2.Function, field: str, wrong: Violations) -> Function:
    convention = known(function.convention, CONVENTIONS, Convention.KEYWORDS, f"{field}.convention", wrong)
    if function.parameters and convention is not Convention.PARAMETERS:
        wrong.add(f"{field}.parameters", "is for convention PARAMETERS only")
    if function.entrypoint and convention is not Convention.SCRIPT and not _is_entrypoint(function.entrypoint):
        wrong.add(f"{field}.entrypoint", "must be module:callable, such as main:execute")
    if not function.entrypoint and convention is Convention.SCRIPT:
        wrong.add(f"{field}.entrypoint", "must be the path of a file: convention SCRIPT runs one")
    return Function(
        name=function.name,
        entrypoint=function.entrypoint,
        convention=convention,
        input_schema=_read_object(function.input_schema_json, f"{field}.input_schema_json", wrong),
        output_schema=_read_object(function.output_schema_json, f"{field}.output_schema_json", wrong),
        parameters=_read_parameters(function.parameters, f"{field}.parameters", wrong),
        output=_read_type(function.output, f"{field}.output", wrong) if function.HasField("output") else None,
        display_name=function.display_name,
        description=function.description,
        private=function.private,
        accepts_any=function.accepts_any,
    )


def _read_object(text: str, field: str, wrong: Violations) -> bytes | None:
    if not text:
        return None
    if not text.lstrip(" \t\r\n").startswith("{"):
        wrong.add(field, "must be a JSON object")
        return None
    return json_text(text, field, wrong)


def _is_entrypoint(text: str) -> bool:
    module, colon, attribute = text.partition(":")
    parts = (*module.split("."), *attribute.split("."))
    return bool(colon) and all(part.isidentifier() for part in parts)


def _read_parameters(
    parameters: Iterable[package_pb2.Parameter], field: str, wrong: Violations
) -> tuple[Parameter, ...]:
    read: dict[str, Parameter] = {}
    for index, parameter in enumerate(parameters):
        at = f"{field}[{index}]"
        if not parameter.name:
            wrong.add(f"{at}.name", "must not be empty")
        elif parameter.name in read:
            wrong.add(f"{at}.name", "stands there twice")
        has_default = parameter.HasField("default_json")
        read[parameter.name] = Parameter(
            name=parameter.name,
            declared=_read_type(parameter.declared_type, f"{at}.declared_type", wrong),
            default=json_text(parameter.default_json, f"{at}.default_json", wrong) if has_default else None,
            display_name=parameter.display_name,
        )
    return tuple(read.values())


def _read_type(declared: package_pb2.DeclaredType, field: str, wrong: Violations) -> DeclaredType:
    # protobuf itself refuses messages that are nested more than 100 deep
    return DeclaredType(
        type=declared.type,
        is_list=declared.is_list,
        nullable=declared.nullable,
        children=_read_parameters(declared.children, f"{field}.children", wrong),
    )


def _function_message(function: Function) -> package_pb2.Function:
    return package_pb2.Function(
        name=clean(function.name),
        entrypoint=clean(function.entrypoint),
        convention=CONVENTION_VALUES[function.convention],
        input_schema_json=function.input_schema.decode() if function.input_schema is not None else None,
        parameters=[_parameter_message(parameter) for parameter in function.parameters],
        output=_type_message(function.output) if function.output is not None else None,
        display_name=function.display_name,
        description=function.description,
        private=function.private,
        accepts_any=function.accepts_any,
        output_schema_json=function.output_schema.decode() if function.output_schema is not None else None,
        schema_origin=_ORIGINS[function.schema_origin] if function.schema_origin is not None else None,
    )


def _parameter_message(parameter: Parameter) -> package_pb2.Parameter:
    return package_pb2.Parameter(
        name=parameter.name,
        declared_type=_type_message(parameter.declared),
        default_json=parameter.default.decode() if parameter.default is not None else None,
        display_name=parameter.display_name,
    )


def _type_message(declared: DeclaredType) -> package_pb2.DeclaredType:
    return package_pb2.DeclaredType(
        type=declared.type,
        is_list=declared.is_list,
        nullable=declared.nullable,
        children=[_parameter_message(child) for child in declared.children],
    )


def _source_message(files: Mapping[str, bytes]) -> package_pb2.SourceFiles:
    return package_pb2.SourceFiles(
        files=[package_pb2.SourceFile(path=path, contents=data) for path, data in files.items()]
    )
