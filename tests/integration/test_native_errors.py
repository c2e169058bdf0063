"""Every error of the native contract, as it comes over the wire."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from polycall.errors import Code
from polycall.v1 import execution_pb2, execution_service_pb2, package_pb2
from tests.harness import Server, until
from tests.integration.native import Refusal, bad_fields, refusal

S = 30.0
UNKNOWN = uuid.UUID("01a20b84-ace9-73b6-99c3-20bb684e149c")


@pytest.fixture(scope="module", autouse=True)
def package(polycall: Server) -> None:
    hidden = package_pb2.Function(name="hidden", private=True)
    shown = package_pb2.Function(name="f")
    polycall.deploy("native-errors", {"main.py": "def f(): ...\ndef hidden(): ..."}, functions=[shown, hidden])


def execute(server: Server, **fields: Any) -> Refusal:
    fields.setdefault("code", "def execute(input): return 1")
    request = execution_service_pb2.ExecuteRequest(**fields)
    return refusal(lambda: server.executions.Execute(request, metadata=server.metadata, timeout=S))


def run(server: Server, function: str, **fields: Any) -> Refusal:
    request = execution_service_pb2.RunFunctionRequest(function=function, **fields)
    return refusal(lambda: server.executions.RunFunction(request, metadata=server.metadata, timeout=S))


def call(server: Server, function: str, **fields: Any) -> Refusal:
    request = execution_service_pb2.CallRequest(function=function, **fields)
    return refusal(lambda: server.executions.Call(request, metadata=server.metadata, timeout=S))


@pytest.mark.parametrize(
    ("fields", "violations"),
    [
        ({"code": ""}, {"code": "must not be empty"}),
        ({"code": "#" * (1 << 20) + "x"}, {"code": "must have at most 1048576 bytes"}),
        ({"language": 99}, {"language": "99 is not a value that this server knows"}),
        ({"convention": 99}, {"convention": "99 is not a value that this server knows"}),
        ({"entrypoint": "a b"}, {"entrypoint": "must be the name of a callable in the code"}),
        ({"args": ["a"]}, {"args": "is for scripts only (convention SCRIPT)"}),
        ({"stdin": b"a"}, {"stdin": "is for scripts only (convention SCRIPT)"}),
        (
            {"convention": execution_pb2.CONVENTION_SCRIPT, "args": ["a\0b"]},
            {"args[0]": "must be UTF-8 without NUL of at most 102400 bytes"},
        ),
        ({"env": {"": "x"}}, {"env['']": "a name must not be empty and must have no `=` and no NUL"}),
        ({"env": {"A": "\0"}}, {"env['A']": "a value must have no NUL"}),
        ({"input_json": "{"}, {"input_json": "must be valid JSON: Input data was truncated"}),
        ({"input_json": "1 2"}, None),
        ({"input_json": "NaN"}, None),
        ({"input_json": "[" * 200_000}, {"input_json": "is nested too deeply"}),
        ({"files": [{"path": "/x"}]}, {"files[0].path": "must be relative"}),
        ({"files": [{"path": "a"}, {"path": "a"}]}, {"files[1].path": "is given twice"}),
        (
            {"request_id": "1"},
            {"request_id": "must be a UUID such as 0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"},
        ),
    ],
)
def test_a_malformed_request_names_its_fields(
    polycall: Server, fields: dict[str, Any], violations: dict[str, str] | None
) -> None:
    refused = execute(polycall, **fields)
    assert (refused.reason, refused.metadata) == ("INVALID_INPUT", {})
    found = bad_fields(refused)
    assert found == violations or (violations is None and list(found) == ["input_json"])


@pytest.mark.parametrize(
    ("limits", "violation"),
    [
        ({"timeout": duration_pb2.Duration()}, ("timeout", "must be 0.001 to 1200 s, got 0")),
        ({"timeout": duration_pb2.Duration(seconds=-1)}, ("timeout", "must be 0.001 to 1200 s, got -1")),
        ({"timeout": duration_pb2.Duration(seconds=1201)}, ("timeout", "must be 0.001 to 1200 s, got 1201")),
        ({"memory_mib": 15}, ("memory_mib", "must be 16 to 5120 MiB, got 15")),
        ({"memory_mib": 2**31 - 1}, ("memory_mib", "must be 16 to 5120 MiB, got 2.14748e+09")),
        ({"processes": 0}, ("processes", "must be 1 to 512, got 0")),
        ({"open_files": 15}, ("open_files", "must be 16 to 4096, got 15")),
        ({"disk_mib": 0}, ("disk_mib", "must be 1 to 1024 MiB, got 0")),
        ({"result_kib": 0}, ("result_kib", "must be 1 to 65536 KiB, got 0")),
        ({"stdout_kib": -1}, ("stdout_kib", "must be 0 to 65536 KiB, got -1")),
        ({"stderr_kib": 65537}, ("stderr_kib", "must be 0 to 65536 KiB, got 65537")),
    ],
)
def test_a_limit_out_of_range_is_refused_never_clamped(
    polycall: Server, limits: dict[str, Any], violation: tuple[str, str]
) -> None:
    asked = execution_pb2.Limits(**limits)
    for refused in (
        execute(polycall, limits=asked),
        run(polycall, "packages/native-errors/functions/f", limits=asked),
        call(polycall, "packages/native-errors/functions/f", limits=asked),
    ):
        assert refused.reason == "LIMIT_OUT_OF_RANGE"
        assert bad_fields(refused) == {f"limits.{violation[0]}": violation[1]}


@pytest.mark.parametrize(
    ("function", "reason", "resource"),
    [
        ("packages/no-such/functions/f", "PACKAGE_NOT_FOUND", "packages/no-such"),
        (
            "packages/native-errors/versions/77/functions/f",
            "VERSION_NOT_FOUND",
            "packages/native-errors/versions/77",
        ),
        (
            "packages/native-errors/functions/nope",
            "FUNCTION_NOT_FOUND",
            "packages/native-errors/versions/1/functions/nope",
        ),
        (
            "packages/native-errors/functions/hidden",
            "FUNCTION_NOT_FOUND",
            "packages/native-errors/versions/1/functions/hidden",
        ),
    ],
)
def test_what_does_not_exist_is_named(polycall: Server, function: str, reason: str, resource: str) -> None:
    for refused in (run(polycall, function), call(polycall, function)):
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, reason)
        assert set(refused.details) == {"ResourceInfo"}
        assert refused.metadata == {"resource": refused.details["ResourceInfo"].resource_name} == {"resource": resource}


def test_an_unknown_execution_is_named(polycall: Server) -> None:
    name = f"executions/{UNKNOWN}"
    for method, request in (
        ("GetExecution", execution_service_pb2.GetExecutionRequest(name=name)),
        ("WaitExecution", execution_service_pb2.WaitExecutionRequest(name=name)),
        ("CancelExecution", execution_service_pb2.CancelExecutionRequest(name=name)),
    ):

        def act(method: str = method, request: Any = request) -> Any:
            return getattr(polycall.executions, method)(request, metadata=polycall.metadata, timeout=S)

        refused = refusal(act)
        assert (refused.code, refused.reason, refused.message) == (
            *(Code.NOT_FOUND, "EXECUTION_NOT_FOUND", f"{name} does not exist in this project."),
        )
        assert refused.details["ResourceInfo"].resource_name == name


def test_parameters_need_a_version(polycall: Server) -> None:
    assert bad_fields(execute(polycall, convention=execution_pb2.CONVENTION_PARAMETERS)) == {
        "convention": "PARAMETERS needs declared parameters; deploy a version instead"
    }


def test_a_message_that_is_too_large_is_refused_and_the_server_lives(polycall: Server) -> None:
    request = execution_service_pb2.ExecuteRequest(code="x", input_json='"' + "x" * (65 << 20) + '"')
    refused = refusal(lambda: polycall.executions.Execute(request, metadata=polycall.metadata, timeout=S))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    assert refused.metadata == {"size": str(request.ByteSize()), "limit": str(65 << 20)}
    assert execute(polycall, code="").reason == "INVALID_INPUT"


def test_an_input_that_would_be_looked_at_for_too_long_is_refused(polycall: Server) -> None:
    most = 16 << 20
    good = execute_request(input_json='"' + "x" * (most - 2) + '"')
    assert polycall.executions.Execute(good, metadata=polycall.metadata, timeout=S).output_json == str(most - 2)
    for text in ("x" * (most - 1), "é" * (most // 2)):
        request = execute_request(input_json=f'"{text}"')
        refused = refusal(partial(polycall.executions.Execute, request, metadata=polycall.metadata))
        assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
        assert refused.metadata["limit"] == str(most)
        assert [v.subject for v in refused.details["QuotaFailure"].violations] == ["input_json"]


def execute_request(**fields: Any) -> execution_service_pb2.ExecuteRequest:
    return execution_service_pb2.ExecuteRequest(code="def execute(input): return len(input)", **fields)


def test_an_answer_that_is_too_large_is_refused_with_its_execution(polycall: Server) -> None:
    request = execution_service_pb2.ExecuteRequest(
        code="import sys\ndef execute(input):\n    sys.stdout.write('x' * (40 << 20))\n    return 'y' * (30 << 20)",
        limits=execution_pb2.Limits(stdout_kib=65536, result_kib=65536, memory_mib=512),
    )
    refused = refusal(lambda: polycall.executions.Execute(request, metadata=polycall.metadata, timeout=S))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    assert refused.metadata["limit"] == str(64 << 20)
    assert refused.metadata["execution"].startswith("executions/")
    assert set(refused.details) == {"QuotaFailure"}


def test_every_error_has_the_request_id_it_came_with(polycall: Server) -> None:
    metadata = [*polycall.metadata, ("x-request-id", "mine-1")]
    request = execution_service_pb2.GetExecutionRequest(name="x")
    refused = refusal(lambda: polycall.executions.GetExecution(request, metadata=metadata, timeout=S))
    assert refused.trailing["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    "request_",
    [b"\xff\xff\xff", b"\x12\xff\xff\xff\xff\x0f", b"\x0a\x02\xc3\x28"],
    ids=["no message", "cut short", "invalid UTF-8"],
)
def test_bytes_that_are_no_message_are_refused_and_the_server_lives(polycall: Server, request_: bytes) -> None:
    method = polycall.channel.unary_unary("/polycall.v1.ExecutionService/Execute")
    with pytest.raises(grpc.RpcError):
        method(request_, metadata=polycall.metadata, timeout=S)
    assert execute(polycall, code="").reason == "INVALID_INPUT"


def test_an_input_that_is_not_utf8_is_refused_by_its_field(polycall: Server) -> None:
    execute = execution_service_pb2.ExecuteRequest(code="def execute(input): ...", input_json="@@@")
    stream = execution_service_pb2.StreamExecutionRequest(execute=execute)
    for method, request, field in (
        ("Execute", execute, "input_json"),
        ("StreamExecution", stream, "execute.input_json"),
    ):
        ask = polycall.channel.unary_stream(f"/polycall.v1.ExecutionService/{method}")
        data = request.SerializeToString().replace(b"@@@", b'"\xff"')
        refused = refusal(lambda ask=ask, data=data: list(ask(data, metadata=polycall.metadata, timeout=S)))  # type: ignore[misc]
        assert bad_fields(refused) == {field: "must be UTF-8"}


def test_a_method_that_does_not_exist_is_unimplemented(polycall: Server) -> None:
    method = polycall.channel.unary_unary("/polycall.v1.ExecutionService/Explode")
    refused = refusal(lambda: method(b"", metadata=polycall.metadata, timeout=S))
    assert (refused.code, refused.reason) == (Code.UNIMPLEMENTED, "UNKNOWN_METHOD")
    assert refused.metadata == {"method": "/polycall.v1.ExecutionService/Explode"}


def test_a_key_is_needed_for_every_service(polycall: Server) -> None:
    methods: list[Callable[..., Any]] = [
        polycall.channel.unary_unary(f"/polycall.v1.{service}/{method}")
        for service, method in (
            ("ExecutionService", "Execute"),
            ("PackageService", "ListPackages"),
            ("TenancyService", "ListProjects"),
            ("ServerService", "GetServerInfo"),
        )
    ]
    for method in methods:
        refused = refusal(lambda method=method: method(b"", timeout=S))  # type: ignore[misc]
        assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "API_KEY_MISSING")


def test_nothing_of_the_machine_is_told_in_an_error(polycall: Server) -> None:
    request = execution_service_pb2.ExecuteRequest(code="import nothing_like_it\ndef execute(input): ...")
    answer = polycall.executions.Execute(request, metadata=polycall.metadata, timeout=S)
    assert answer.error.type == "ModuleNotFoundError"
    for text in (answer.error.message, answer.error.traceback, answer.stderr):
        assert "site-packages" not in text
        assert "polycall" not in text
        assert str(polycall.data_dir) not in text


def test_the_log_holds_one_line_a_call_and_nothing_of_what_was_sent(polycall: Server) -> None:
    marker = uuid.uuid4().hex
    request = execution_service_pb2.ExecuteRequest(
        code=f"def execute(input):\n    print('{marker}')\n    raise ValueError(input)",
        input_json=f'"{marker}"',
        env={"A": marker},
    )
    metadata = [*polycall.metadata, ("x-request-id", f"log-{marker[:8]}")]
    polycall.executions.Execute(request, metadata=metadata, timeout=S)
    line = until(
        lambda: [text for text in polycall.log.read_text().splitlines() if f"request=log-{marker[:8]}" in text],
        what="the log line",
    )
    assert len(line) == 1
    assert "method=/polycall.v1.ExecutionService/Execute code=OK" in line[0]
    assert "state=FAILED" in line[0]
    log = polycall.log.read_text()
    assert marker not in log
    assert polycall.key not in log
