"""What is open to everybody: health and reflection."""

from __future__ import annotations

import importlib.metadata
import sys

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from polycall import __version__
from polycall.v1 import execution_pb2, server_service_pb2, server_service_pb2_grpc
from tests.harness import Server

S = 30.0
SERVICES = [
    f"polycall.v1.{name}Service"
    for name in (
        *("Audit", "Execution", "Key", "Package", "Policy", "Runtime", "Schedule"),
        *("Secret", "Server", "Tenancy", "Webhook"),
    )
]


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_says_that_every_service_serves(polycall: Server, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(polycall.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=S)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_health_knows_no_other_service(polycall: Server) -> None:
    stub = health_pb2_grpc.HealthStub(polycall.channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=S)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services_and_hands_out_their_contract(polycall: Server) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(polycall.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="polycall.v1.ExecutionService"),
    ]
    listed, contract = stub.ServerReflectionInfo(iter(requests), timeout=S)
    names = [service.name for service in listed.list_services_response.service]
    assert sorted(names) == sorted([*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"])
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in contract.file_descriptor_response.file_descriptor_proto
    ]
    (file,) = [file for file in files if file.name == "polycall/v1/execution_service.proto"]
    assert "StreamExecution" in [method.name for method in file.service[0].method]


def test_the_server_tells_what_it_is(polycall: Server) -> None:
    stub = server_service_pb2_grpc.ServerServiceStub(polycall.channel)
    info = stub.GetServerInfo(server_service_pb2.GetServerInfoRequest(), metadata=polycall.metadata, timeout=S)
    assert info.version == __version__
    python = ".".join(map(str, sys.version_info[:3]))
    assert [(each.language, each.interpreter) for each in info.runtimes] == [
        (execution_pb2.LANGUAGE_PYTHON, "python"),
        (execution_pb2.LANGUAGE_JAVASCRIPT, "deno"),
        (execution_pb2.LANGUAGE_TYPESCRIPT, "deno"),
    ]
    assert (info.runtimes[0].version, info.runtimes[1].version) == (python, importlib.metadata.version("deno"))
    assert info.isolation_level >= info.isolation_floor
    assert {finding.feature for finding in info.findings} >= {"namespaces", "seccomp", "landlock", "cgroup"}
    assert info.default_limits.memory_mib == 128
    assert info.maximum_limits.timeout.seconds == 1200
    assert info.slots >= 1
