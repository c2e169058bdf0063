"""How many things one request may hold."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from polycall.errors import InvalidArgument
from polycall.interceptors.counts import Counts
from polycall.v1 import execution_service_pb2, package_pb2, package_service_pb2

LIST = execution_service_pb2.ListExecutionsRequest
EXECUTE = execution_service_pb2.ExecuteRequest
CREATE = package_service_pb2.CreateVersionRequest
STREAM = execution_service_pb2.StreamExecutionRequest


def version(parameters: int, functions: int = 1, children: int = 0) -> package_pb2.Version:
    child = package_pb2.Parameter(
        name="c", declared_type=package_pb2.DeclaredType(children=[package_pb2.Parameter(name="d")] * children)
    )
    function = package_pb2.Function(name="f", parameters=[child] * parameters)
    return package_pb2.Version(functions=[function] * functions)


def files(count: int) -> package_pb2.SourceFiles:
    return package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="x")] * count)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (LIST(states=["STATE_QUEUED"] * 11), "states"),
        (EXECUTE(env={str(n): "" for n in range(11)}), "env"),
        (EXECUTE(args=["x"] * 6, env={str(n): "" for n in range(6)}), "args"),
        (CREATE(files=files(11)), "files.files"),
        (CREATE(version=version(parameters=11)), "version.functions[0].parameters"),
        (CREATE(version=version(parameters=4, functions=2)), ""),
        (CREATE(version=version(parameters=4, functions=2), files=files(1)), "files.files"),
        (
            CREATE(version=version(parameters=2, children=4)),
            "version.functions[0].parameters[1].declared_type.children",
        ),
        (STREAM(execute=EXECUTE(args=["x"] * 11)), "execute.args"),
        (EXECUTE(code="x" * 1000), ""),
    ],
)
async def test_the_items_of_all_lists_together_are_bounded(request_: Message, path: str) -> None:
    asked = []

    async def method(request: Message, rpc: object) -> Message:
        asked.append(request)
        return request

    call = Counts(most=10).unary(method)
    if not path:
        assert await call(request_, None) is request_  # type: ignore[arg-type]
        return
    with pytest.raises(InvalidArgument) as refused:
        await call(request_, None)  # type: ignore[arg-type]
    assert [violation.field for violation in refused.value.violations] == [path]
    assert refused.value.violations[0].description == "takes the lists of this request beyond 10 items together"
    assert asked == []
