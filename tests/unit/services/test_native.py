"""The native services on a real gRPC server, over an engine that does what the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from polycall.domain import (
    ApiKey,
    Execution,
    ExecutionState,
    Language,
    OutputChunk,
    Package,
    Project,
    Scope,
    Stream,
    Version,
    VersionState,
)
from polycall.engine.live import Finished, Started
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.errors import Code, FieldViolation, LimitOutOfRange, QueueFull
from polycall.services.execution import ExecutionService
from polycall.services.key import KeyService
from polycall.services.native import SERVICES
from polycall.services.package import PackageService
from polycall.services.runtime import RuntimeService
from polycall.services.schedule import ScheduleService
from polycall.services.secret import SecretService
from polycall.services.server import ServerService
from polycall.services.tenancy import TenancyService
from polycall.store.protocol import Page
from polycall.v1 import (
    execution_pb2,
    execution_service_pb2,
    package_pb2,
    package_service_pb2,
    server_service_pb2,
    tenancy_service_pb2,
)
from tests.unit.engine_analysis.here import HereReader
from tests.unit.services.fakes import ADA, ID, FakeEngine, details_of, execution, running

RUN = execution_service_pb2.RunFunctionRequest(function="packages/p/functions/f")
EXECUTE = execution_service_pb2.ExecuteRequest(code="def execute(input): ...")
UUID = "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"


async def test_the_server_waits_for_the_next_call_once_not_once_for_every_method() -> None:
    before = asyncio.all_tasks()
    async with running():
        assert len(asyncio.all_tasks() - before) < len(SERVICES)


def test_every_method_of_the_contract_is_written() -> None:
    for service in (
        ExecutionService,
        PackageService,
        RuntimeService,
        SecretService,
        KeyService,
        ScheduleService,
        TenancyService,
        ServerService,
    ):
        base = service.__mro__[1]
        methods = [name for name in vars(base) if not name.startswith("_")]
        assert methods
        assert [name for name in methods if name not in vars(service)] == []


async def test_a_run_is_asked_of_the_engine_and_answered() -> None:
    engine = FakeEngine()
    async with running(engine) as native:
        answer = await native.do(native.executions.RunFunction, RUN)
    assert answer.name == f"executions/{ID}"
    assert answer.output_json == "1"
    ((verb, (who, run, options)),) = engine.asked
    assert (verb, who, run) == ("run", ADA, FunctionRun(package_id="p", function="f"))
    assert 0 < options.expires_at - time.monotonic() <= 20.1  # gRPC rounds what it sends up to tenths


async def test_a_call_without_a_deadline_has_none() -> None:
    engine = FakeEngine()
    async with running(engine) as native:
        await native.executions.Execute(EXECUTE, metadata=native.metadata)
    assert engine.asked == [("execute", (ADA, AdHocRun(code="def execute(input): ..."), RunOptions()))]


async def test_an_execution_is_told_of_in_trailing_metadata() -> None:
    async with running() as native:
        call = native.executions.RunFunction(RUN, metadata=(*native.metadata, ("x-request-id", "r-1")))
        await call
        trailing = await call.trailing_metadata()
    assert tuple(trailing) == (
        ("x-request-id", "r-1"),
        ("polycall-execution", f"executions/{ID}"),
        ("polycall-start-kind", "warm"),
        ("polycall-queue-ms", "1.500"),
        ("polycall-run-ms", "2000.001"),
    )


async def test_a_checked_run_has_no_name_and_nothing_to_tell() -> None:
    engine = FakeEngine(answer=execution(state=ExecutionState.QUEUED, start_kind=None))
    request = execution_service_pb2.RunFunctionRequest(function=RUN.function, validate_only=True)
    async with running(engine) as native:
        call = native.executions.RunFunction(request, metadata=native.metadata)
        assert (await call).name == ""
        assert [key for key, _ in await call.trailing_metadata()] == ["x-request-id"]
    assert engine.asked[0][1][2].validate_only


async def test_call_get_and_cancel_pass_on_what_they_name() -> None:
    engine = FakeEngine()
    async with running(engine) as native:
        request = execution_service_pb2.CallRequest(function=RUN.function, request_id=UUID, max_attempts=2)
        await native.do(native.executions.Call, request)
        await native.do(
            native.executions.GetExecution, execution_service_pb2.GetExecutionRequest(name=f"executions/{ID}")
        )
        await native.do(
            native.executions.CancelExecution, execution_service_pb2.CancelExecutionRequest(name=f"executions/{ID}")
        )
    assert engine.asked == [
        ("call", (ADA, FunctionRun(package_id="p", function="f"), RunOptions(request_id=UUID, max_attempts=2))),
        ("get", (ADA, ID)),
        ("cancel", (ADA, ID)),
    ]


async def test_a_wait_ends_before_the_rpcs_own_deadline() -> None:
    engine = FakeEngine()
    request = execution_service_pb2.WaitExecutionRequest(name=f"executions/{ID}")
    async with running(engine) as native:
        await native.executions.WaitExecution(request, metadata=native.metadata, timeout=5)
        await native.executions.WaitExecution(request, metadata=native.metadata)
    (_, (_, _, bounded)), (_, (_, _, free)) = engine.asked
    assert 0 < bounded < 5.1  # gRPC rounds what it sends up to tenths
    assert free == 60.0


async def test_a_list_shows_no_payloads() -> None:
    engine = FakeEngine(answer=Page((execution(stdout=b"x", input=b"1"),), "next"))
    async with running(engine) as native:
        answer = await native.do(
            native.executions.ListExecutions,
            execution_service_pb2.ListExecutionsRequest(page_size=5000, page_token="t"),
        )
    assert (answer.next_page_token, len(answer.executions)) == ("next", 1)
    assert (answer.executions[0].stdout, answer.executions[0].output_json) == ("", "")
    assert engine.asked[0][1][2:] == (1000, "t")


EVENTS = (
    Started(execution(state=ExecutionState.RUNNING, result=None)),
    OutputChunk(Stream.STDOUT, 1_500, b"h\xff"),
    Finished(execution()),
)


async def events() -> AsyncIterator[Any]:
    for event in EVENTS:
        yield event


@pytest.mark.parametrize(
    ("request_", "verb"),
    [
        (execution_service_pb2.StreamExecutionRequest(name=f"executions/{ID}"), "events"),
        (execution_service_pb2.StreamExecutionRequest(execute=EXECUTE), "stream_execute"),
        (execution_service_pb2.StreamExecutionRequest(run_function=RUN), "stream_run"),
    ],
)
async def test_a_stream_tells_start_output_and_end(
    request_: execution_service_pb2.StreamExecutionRequest, verb: str
) -> None:
    engine = FakeEngine(happening=events)
    async with running(engine) as native:
        call = native.executions.StreamExecution(request_, metadata=native.metadata, timeout=20)
        answers = [answer async for answer in call]
        trailing = dict(await call.trailing_metadata())
    assert [answer.WhichOneof("event") for answer in answers] == ["started", "output", "finished"]
    assert answers[1].output.data == b"h\xff"
    assert answers[2].finished.name == f"executions/{ID}"
    assert trailing["polycall-execution"] == f"executions/{ID}"
    assert [name for name, _ in engine.asked] == [verb]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (execution_service_pb2.StreamExecutionRequest(), ["target"]),
        (execution_service_pb2.StreamExecutionRequest(name="x"), ["name"]),
        (
            execution_service_pb2.StreamExecutionRequest(
                execute=execution_service_pb2.ExecuteRequest(code="x", language=9)  # type: ignore[arg-type]
            ),
            ["execute.language"],
        ),
        (
            execution_service_pb2.StreamExecutionRequest(
                run_function=execution_service_pb2.RunFunctionRequest(function="f")
            ),
            ["run_function.function"],
        ),
        (
            execution_service_pb2.StreamExecutionRequest(
                run_function=execution_service_pb2.RunFunctionRequest(validate_only=True)
            ),
            ["run_function.validate_only"],
        ),
        (
            execution_service_pb2.StreamExecutionRequest(execute=execution_service_pb2.ExecuteRequest(request_id=UUID)),
            ["execute.request_id"],
        ),
    ],
)
async def test_a_stream_of_nothing_sensible_is_refused(
    request_: execution_service_pb2.StreamExecutionRequest, fields: list[str]
) -> None:
    async with running(FakeEngine(happening=events)) as native:
        status = await native.refused(native.executions.StreamExecution, request_)
    assert status.code == Code.INVALID_ARGUMENT
    assert [v.field for v in details_of(status)["BadRequest"].field_violations] == fields


async def test_an_engines_limit_error_in_a_stream_is_named_from_the_request() -> None:
    async def failing() -> AsyncIterator[Any]:
        raise LimitOutOfRange([FieldViolation("limits.timeout", "no")])
        yield

    async with running(FakeEngine(happening=failing)) as native:
        status = await native.refused(
            native.executions.StreamExecution, execution_service_pb2.StreamExecutionRequest(execute=EXECUTE)
        )
    assert details_of(status)["ErrorInfo"].reason == "LIMIT_OUT_OF_RANGE"
    assert [v.field for v in details_of(status)["BadRequest"].field_violations] == ["execute.limits.timeout"]


async def test_leaving_a_stream_ends_the_engines_iteration() -> None:
    left = asyncio.Event()

    async def endless() -> AsyncIterator[Any]:
        try:
            yield EVENTS[0]
            await asyncio.Event().wait()
        finally:
            left.set()

    async with running(FakeEngine(happening=endless)) as native:
        call = native.executions.StreamExecution(
            execution_service_pb2.StreamExecutionRequest(execute=EXECUTE), metadata=native.metadata
        )
        assert (await call.read()).WhichOneof("event") == "started"
        call.cancel()
        await asyncio.wait_for(left.wait(), 10)


async def test_cancelling_a_call_cancels_the_engine() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> Execution:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async with running(FakeEngine(answer=hang)) as native:
        call = native.executions.Execute(EXECUTE, metadata=native.metadata)
        await asyncio.wait_for(begun.wait(), 10)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)
        assert await call.code() == grpc.StatusCode.CANCELLED


async def test_what_the_engine_refuses_reaches_the_caller_with_its_details() -> None:
    engine = FakeEngine(answer=QueueFull("8 calls wait.", subject="queue", retry_after_s=0.4))
    async with running(engine) as native:
        status = await native.refused(native.executions.Execute, EXECUTE)
    assert (status.code, status.message) == (Code.RESOURCE_EXHAUSTED, "8 calls wait.")
    found = details_of(status)
    assert found["ErrorInfo"] == error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="polycall")
    assert found["RetryInfo"].retry_delay == duration_pb2.Duration(nanos=400_000_000)
    assert set(found) == {"ErrorInfo", "QuotaFailure", "RetryInfo"}


# packages

PACKAGE = Package(project_id="default", id="p", created_at=1_000, updated_at=1_000, description="kept")
VERSION = Version(
    project_id="default",
    package_id="p",
    id="1",
    state=VersionState.READY,
    language=Language.PYTHON,
    created_at=1_000,
    bundle="00",
)


async def test_a_repeated_creation_is_made_once() -> None:
    engine = FakeEngine()
    engine.registry.answer = PACKAGE
    request = package_service_pb2.CreatePackageRequest(package_id="p", request_id=UUID)
    async with running(engine) as native:
        answers = [await native.do(native.packages.CreatePackage, request) for _ in range(3)]
        request.validate_only = True
        await native.do(native.packages.CreatePackage, request)
    assert {answer.name for answer in answers} == {"packages/p"}
    assert [(name, options) for name, _, options in engine.registry.asked] == [
        ("create_package", {}),
        ("create_package", {"validate_only": True}),
    ]


async def test_a_version_is_created_with_all_that_was_asked() -> None:
    engine = FakeEngine()
    engine.registry.answer = VERSION
    request = package_service_pb2.CreateVersionRequest(
        parent="packages/p",
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=b"x")]),
        create_package=True,
        release=True,
    )
    async with running(engine) as native:
        assert (await native.do(native.packages.CreateVersion, request)).name == "packages/p/versions/1"
        ((name, (who, draft), options),) = engine.registry.asked
        # of a request that another server has answered, whoever sends it again, nothing is made
        request.request_id = UUID
        for _ in range(2):
            assert (await native.do(native.packages.CreateVersion, request)).name == "packages/p/versions/1"
    assert engine.registry.asked[1:] == [
        ("version_of_request", (replace(ADA, scopes=frozenset({Scope.READ})), "p", UUID), {})
    ]
    assert (name, who, draft.files) == ("create_version", ADA, {"main.py": b"x"})
    assert options == {"create_package": True, "release": True, "validate_only": False, "analyze_later": False}


async def test_a_change_keeps_what_the_mask_leaves_out() -> None:
    engine = FakeEngine()
    engine.registry.answer = PACKAGE
    request = package_service_pb2.UpdatePackageRequest(
        package=package_pb2.Package(name="packages/p", display_name="New"),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    )
    async with running(engine) as native:
        await native.do(native.packages.UpdatePackage, request)
    (_, (reader, _), _), (_, (who, package), _) = engine.registry.asked
    assert (reader.scopes, who) == ({Scope.READ}, ADA)
    assert (package.display_name, package.description) == ("New", "kept")


async def test_versions_are_found_listed_released_and_deleted_by_name() -> None:
    engine = FakeEngine()
    registry = engine.registry
    registry.answer = VERSION
    name = "packages/p/versions/1"
    async with running(engine) as native:
        packages = native.packages
        await native.do(packages.GetVersion, package_service_pb2.GetVersionRequest(name="packages/p/versions/-"))
        await native.do(packages.ReleaseVersion, package_service_pb2.ReleaseVersionRequest(name=name))
        deleted = await native.do(packages.DeleteVersion, package_service_pb2.DeleteVersionRequest(name=name))
        await native.do(packages.DeletePackage, package_service_pb2.DeletePackageRequest(name="packages/p"))
        registry.answer = Page((VERSION,), "n")
        page = await native.do(packages.ListVersions, package_service_pb2.ListVersionsRequest(parent="packages/p"))
        registry.answer = Page((PACKAGE,), "m")
        more = await native.do(packages.ListPackages, package_service_pb2.ListPackagesRequest(page_size=1))
        registry.answer = PACKAGE
        await native.do(packages.GetPackage, package_service_pb2.GetPackageRequest(name="packages/p"))
    assert deleted == empty_pb2.Empty()
    assert ([version.name for version in page.versions], page.next_page_token) == ([name], "n")
    assert ([package.name for package in more.packages], more.next_page_token) == (["packages/p"], "m")
    assert [(verb, args[1:]) for verb, args, _ in registry.asked] == [
        ("get_version", ("p", "-")),
        ("release_version", ("p", "1")),
        ("delete_version", ("p", "1")),
        ("delete_package", ("p",)),
        ("list_versions", ("p", 50, "")),
        ("list_packages", (1, "")),
        ("get_package", ("p",)),
    ]


async def test_a_version_comes_with_its_source_if_asked() -> None:
    class Registry:
        async def get_version(self, *args: object) -> Version:
            return VERSION

        async def get_source(self, *args: object) -> dict[str, bytes]:
            return {"main.py": b"x"}

    request = package_service_pb2.GetVersionRequest(name="packages/p/versions/1", include_source=True)
    async with running(FakeEngine(registry=Registry())) as native:
        answer = await native.do(native.packages.GetVersion, request)
    assert [(file.path, file.contents) for file in answer.source.files] == [("main.py", b"x")]


async def test_a_source_is_analysed() -> None:
    from polycall.engine.analysis import Analyzer

    class Registry:
        async def analyze(self, who: object, files: Any, *, runtime: str, **options: Any) -> Any:
            assert (who, runtime) == (ADA, "")
            return await Analyzer(HereReader()).analyze(files, **options)

    request = package_service_pb2.AnalyzeSourceRequest(
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=b"def f(a: int): ...")])
    )
    broken = package_service_pb2.AnalyzeSourceRequest(
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=b"\ndef f(")])
    )
    async with running(FakeEngine(registry=Registry())) as native:
        answer = await native.do(native.packages.AnalyzeSource, request)
        problems = (await native.do(native.packages.AnalyzeSource, broken)).problems
    (function,) = answer.functions
    assert (function.name, function.entrypoint, function.convention) == (
        *("f", "main:f"),
        execution_pb2.CONVENTION_KEYWORDS,
    )
    assert function.input_schema_json == ('{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}')
    assert [(p.path, p.line, p.message) for p in problems] == [("main.py", 2, "SyntaxError: '(' was never closed")]


# tenancy

API_KEY = ApiKey(
    id="0011",
    project_id="default",
    name="ci",
    scopes=frozenset({Scope.RUN, Scope.READ}),
    created_at=1_000,
    expires_at=2_000,
    revoked_at=3_000,
    last_used_at=4_000,
)


async def test_a_key_is_created_and_its_text_told() -> None:
    engine = FakeEngine()
    engine.keys.answer = (API_KEY, "the text")
    request = tenancy_service_pb2.CreateApiKeyRequest(
        project="projects/default",
        display_name="ci",
        scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN, tenancy_service_pb2.ApiKey.SCOPE_READ],
        expire_time=timestamp_pb2.Timestamp(seconds=2),
    )
    async with running(engine) as native:
        answer = await native.do(native.tenancy.CreateApiKey, request)
    assert answer.key == "the text"
    assert answer.api_key == tenancy_service_pb2.ApiKey(
        name="apiKeys/0011",
        project="projects/default",
        display_name="ci",
        scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN, tenancy_service_pb2.ApiKey.SCOPE_READ],
        create_time=timestamp_pb2.Timestamp(seconds=1),
        expire_time=timestamp_pb2.Timestamp(seconds=2),
        revoke_time=timestamp_pb2.Timestamp(seconds=3),
        last_used_time=timestamp_pb2.Timestamp(seconds=4),
    )
    assert engine.keys.asked == [
        (
            "create",
            (ADA,),
            {
                "project_id": "default",
                "name": "ci",
                "scopes": frozenset({Scope.RUN, Scope.READ}),
                "expires_at": 2_000,
            },
        )
    ]


async def test_a_wrong_key_request_says_all_at_once() -> None:
    request = tenancy_service_pb2.CreateApiKeyRequest(
        project="default",
        scopes=[0, 77],  # type: ignore[list-item]
        expire_time=timestamp_pb2.Timestamp(nanos=-1),
    )
    async with running() as native:
        status = await native.refused(native.tenancy.CreateApiKey, request)
        revoke = await native.refused(
            native.tenancy.RevokeApiKey, tenancy_service_pb2.RevokeApiKeyRequest(name="pc_1_2", project="x")
        )
    assert [v.field for v in details_of(status)["BadRequest"].field_violations] == [
        *("project", "scopes[0]", "scopes[1]", "expire_time")
    ]
    assert [v.field for v in details_of(revoke)["BadRequest"].field_violations] == ["name", "project"]


async def test_keys_and_projects_are_listed_made_and_revoked() -> None:
    engine = FakeEngine()
    keys = engine.keys
    async with running(engine) as native:
        keys.answer = (API_KEY,)
        listed = await native.do(native.tenancy.ListApiKeys, tenancy_service_pb2.ListApiKeysRequest())
        keys.answer = API_KEY
        await native.do(
            native.tenancy.RevokeApiKey,
            tenancy_service_pb2.RevokeApiKeyRequest(name="apiKeys/0011", project="projects/other"),
        )
        keys.answer = Project(id="other", created_at=1_000, display_name="Other")
        project = await native.do(
            native.tenancy.CreateProject,
            tenancy_service_pb2.CreateProjectRequest(
                project_id="other", project=tenancy_service_pb2.Project(display_name="Other")
            ),
        )
        keys.answer = (Project(id="other", created_at=1_000),)
        projects = await native.do(native.tenancy.ListProjects, tenancy_service_pb2.ListProjectsRequest())
    assert [key.name for key in listed.api_keys] == ["apiKeys/0011"]
    assert (project.name, project.display_name, project.create_time.seconds) == ("projects/other", "Other", 1)
    assert [project.name for project in projects.projects] == ["projects/other"]
    assert [(verb, args[1:]) for verb, args, _ in keys.asked] == [
        ("list", (None,)),
        ("revoke", ("0011", "other")),
        ("create_project", ("other", "Other")),
        ("list_projects", ()),
    ]


async def test_the_server_tells_what_it_is() -> None:
    async with running() as native:
        info = await native.do(native.info.GetServerInfo, server_service_pb2.GetServerInfoRequest())
    assert (info.version, info.slots) == ("1.2.3", 4)
    assert info.isolation_level == execution_pb2.Execution.ISOLATION_LEVEL_CONTAINED
    assert info.isolation_floor == execution_pb2.Execution.ISOLATION_LEVEL_NAMESPACED
    assert [runtime.language for runtime in info.runtimes] == [execution_pb2.LANGUAGE_PYTHON]
    assert info.default_limits.timeout.seconds == 30
    assert info.maximum_limits.timeout.seconds == 1200


# health and reflection


async def test_health_is_told_without_a_key_for_each_service() -> None:
    async with running() as native:
        stub = health_pb2_grpc.HealthStub(native.channel)

        async def statuses() -> set[int]:
            answers = [await stub.Check(health_pb2.HealthCheckRequest(service=s)) for s in ("", *SERVICES)]
            return {answer.status for answer in answers}

        await native.health.set_serving()
        assert await statuses() == {health_pb2.HealthCheckResponse.SERVING}
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await native.health.set_not_serving()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await statuses() == {health_pb2.HealthCheckResponse.NOT_SERVING}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="no.Such"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_without_a_key() -> None:
    async with running() as native:
        stub = reflection_pb2_grpc.ServerReflectionStub(native.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answers = [answer async for answer in call]
    names = {service.name for answer in answers for service in answer.list_services_response.service}
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
