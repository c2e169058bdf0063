"""Requests that nobody means: whatever is sent, the answer is an answer, and the server stays well."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from polycall.v1 import (
    execution_service_pb2,
    key_service_pb2,
    package_service_pb2,
    runtime_service_pb2,
    schedule_service_pb2,
    secret_service_pb2,
    server_service_pb2,
    tenancy_service_pb2,
)
from tests.harness import Server, running_server

NEVER = ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED")
NOWHERE = "http://127.0.0.1:9/simple"  # builds fail at once
ROUNDS = 60  # requests of each method
S = 20.0
SERVICES: list[ServiceDescriptor] = [
    execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"],
    package_service_pb2.DESCRIPTOR.services_by_name["PackageService"],
    runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"],
    secret_service_pb2.DESCRIPTOR.services_by_name["SecretService"],
    key_service_pb2.DESCRIPTOR.services_by_name["KeyService"],
    schedule_service_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
    tenancy_service_pb2.DESCRIPTOR.services_by_name["TenancyService"],
    server_service_pb2.DESCRIPTOR.services_by_name["ServerService"],
]
METHODS = [method for service in SERVICES for method in service.methods]
EXECUTION = "executions/01a20b84-ace9-73b6-99c3-20bb684e149c"
TEXTS = [
    *("", "x", "\0", "-", "é\u202e😀", "' OR 1=1 --", "%s%n", "../../etc/passwd", "a" * 100_000, "0", "9" * 30),
    *(
        "packages/p",
        "packages/p/versions/1",
        "packages/p/versions/-",
        "packages/p/functions/f",
        "packages/p/functions/é",
    ),
    *(EXECUTION, "executions/x", "projects/default", "projects/x"),
    *("apiKeys/0123456789abcdef", "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f", "main", "main.py", "main:f", "python"),
    *("def execute(input): return input", "def f(a: int): return a", "def f(:", "{}", "[1, 2]", "null", "{", "NaN"),
    *('{"a": 9007199254740993}', "[" * 5000, "display_name", "*", "p", "1"),
]
LIKELY: dict[str, list[Any]] = {  # what gets a request past the first checks, by the field it belongs in
    "name": [
        "packages/p",
        "packages/p/versions/1",
        "executions/01a20b84-ace9-73b6-99c3-20bb684e149c",
        "f",
        "apiKeys/1",
        "secrets/s",
    ],
    "parent": ["packages/p", "packages/q", "packages/p/functions/f"],
    "function": ["packages/p/functions/f", "packages/p/versions/1/functions/f"],
    "package_id": ["q", "r.s~t"],
    "version_id": ["", "7", "1.0"],
    "project_id": ["other", "third"],
    "project": ["projects/default", ""],
    "code": ["def execute(input): return input", "print(1)", "raise ValueError", "def execute(input): return {1}"],
    "entrypoint": ["", "execute", "main:f"],
    "path": ["main.py", "a/b", "c.txt"],
    "input_json": ["", "{}", '{"a": [1.0, 9007199254740993]}', "null"],
    "input_schema_json": ["", "{}"],
    "default_json": ["1"],
    "request_id": ["", "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"],
    "page_token": [""],
    "module": ["", "main"],
    "runtime": [""],
    "secret": ["", "secrets/s", "secrets/-"],
    "secret_id": ["", "s", "a/b"],
    "value": ["hunter2", ""],
    "runtime_id": ["", "r", "s.t~u"],
    "revision_id": ["", "1"],
    "manifest": ["", "{}", "# nothing"],
    "additional_imports": ["", "json"],
    "paths": ["labels", "description"],
    "contents": [b"def f(**x): return x", b"x = 1", b"\xff"],
    "language": [0, 1],
    "convention": [0, 1, 2, 5],
    "page_size": [0, 1, 3],
    "memory_mib": [64],
    "seconds": [1, 5],
    "nanos": [0, 500_000_000],
    "stdin": [b""],
    "args": ["a"],
}
NUMBERS = [0, 1, -1, 2, 7, 50, 1000, 1001, 64, 2**31 - 1, -(2**31)]
WIDE = [*NUMBERS, 2**63 - 1, -(2**63), 253_402_300_800, 10**12]
BYTES = [b"", b"x", b"\xff\xfe\0", b"def f(): return 1", b"PK\x05\x06" + bytes(18), bytes(100_000)]


def scalar(field: Any, dice: random.Random) -> Any:
    if field.name in LIKELY and dice.random() < 0.8:
        return dice.choice(LIKELY[field.name])
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return dice.choice(BYTES if field.type == FieldDescriptor.TYPE_BYTES else TEXTS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return dice.choice([0.0, 1.5, -1.0, float("inf")])
    return dice.choice(WIDE if kind == FieldDescriptor.CPPTYPE_INT64 else NUMBERS)


def fill(message: Message, dice: random.Random, depth: int = 0) -> None:
    """Set some of a message's fields to something."""
    for field in message.DESCRIPTOR.fields:
        if dice.random() < (0.9 if depth >= 4 or field.name == "limits" else 0.4):
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(dice.randint(0, 3)):
                value[dice.choice(TEXTS)] = dice.choice(TEXTS)
        elif field.is_repeated and field.message_type is not None:
            for _ in range(dice.randint(0, 3)):
                fill(value.add(), dice, depth + 1)
        elif field.is_repeated:
            value.extend(scalar(field, dice) for _ in range(dice.randint(0, 3)))
        elif field.message_type is not None:
            value.SetInParent()
            fill(value, dice, depth + 1)
        else:
            setattr(message, field.name, scalar(field, dice))


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(
        Path(tmp_path_factory.mktemp("fuzz")), POLYCALL_GATEWAY="false", POLYCALL_PYTHON_INDEX_URL=NOWHERE
    ) as server:
        server.deploy("p", {"main.py": "def f(**x): return x"})
        yield server


def send(server: Server, method: MethodDescriptor, request: Message) -> str:
    """Send a request; return the name of its code."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = message_factory.GetMessageClass(method.output_type).FromString
    serialize = type(request).SerializeToString
    try:
        if method.server_streaming:
            stream = server.channel.unary_stream(path, serialize, answer)
            list(stream(request, metadata=server.metadata, timeout=S))
        else:
            server.channel.unary_unary(path, serialize, answer)(request, metadata=server.metadata, timeout=S)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("method", METHODS, ids=[f"{m.containing_service.name}.{m.name}" for m in METHODS])
def test_whatever_is_sent_is_answered(victim: Server, method: MethodDescriptor) -> None:
    dice = random.Random(method.full_name)
    codes: Counter[str] = Counter()
    for number in range(ROUNDS):
        request = message_factory.GetMessageClass(method.input_type)()
        fill(request, dice)
        if method.name in ("WaitExecution",):
            request.ClearField("timeout")
        if method.name == "WaitRuntimeRevision":
            request.ClearField("timeout")
            request.MergeFrom(runtime_service_pb2.WaitRuntimeRevisionRequest(timeout=duration_pb2.Duration()))
        code = send(victim, method, request)
        assert code not in ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"), (
            number,
            code,
            str(request)[:2000],
        )
        codes[code] += 1
    assert sum(codes.values()) == ROUNDS


def test_the_log_has_nothing_unexpected(victim: Server) -> None:
    log = victim.log.read_text()
    assert "Traceback" not in log
    assert "unexpected" not in log.lower()
