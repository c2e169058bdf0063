"""What one replica has done or learned is so at all of them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from bench.crashes import FUNCTIONS, three
from bench.postmaster import Postmaster
from bench.verdict import Scale, Verdict
from polycall.v1 import execution_pb2, execution_service_pb2, tenancy_service_pb2
from tests.harness import Server, until

__all__ = ["elsewhere", "revoked"]

_REVOKED_S = 1.0


def revoked(servers: Sequence[Server]) -> float:
    """Revoke a key at the first server that all know; return seconds from the answer until all refuse it.

    Raises grpc.RpcError while the database is away.
    """
    request = tenancy_service_pb2.CreateApiKeyRequest(
        scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN, tenancy_service_pb2.ApiKey.SCOPE_READ]
    )
    made = servers[0].keys.CreateApiKey(request, metadata=servers[0].metadata, timeout=5)
    metadata = [("authorization", f"Bearer {made.key}")]
    for server in servers:
        assert _accepted(server, metadata)
    revoking = tenancy_service_pb2.RevokeApiKeyRequest(name=made.api_key.name)
    servers[0].keys.RevokeApiKey(revoking, metadata=servers[0].metadata, timeout=5)
    answered = time.monotonic()
    until(lambda: not any(_accepted(server, metadata) for server in servers), seconds=40, what="the key to be refused")
    return time.monotonic() - answered


def heard(servers: Sequence[Server]) -> float:
    """Wait until what one does is known at once by the others; return when that was (time.monotonic)."""

    def known() -> bool:
        with contextlib.suppress(grpc.RpcError):
            return revoked(servers) < _REVOKED_S
        return False

    until(known, seconds=60, what="news to be heard")
    return time.monotonic()


def elsewhere(scale: Scale) -> list[Verdict]:
    """A key revoked at one replica; a run read at another right after its answer."""
    with (
        tempfile.TemporaryDirectory(prefix="polycall-news-") as scratch,
        Postmaster() as postmaster,
        three(postmaster, Path(scratch), scale) as servers,
    ):
        took = [revoked(servers) for _ in range(scale.kills)]
        missing = sum(not _read_elsewhere(servers, number) for number in range(10 * scale.kills))
    return [
        Verdict(
            "a revoked key is refused by every replica within 1 s of the answer",
            f"{len(took)} keys, the last after {max(took) * 1000:.0f} ms",
            max(took) <= _REVOKED_S,
        ),
        Verdict(
            "a run can be read at another replica as soon as it is answered",
            f"{missing} of {10 * scale.kills} could not",
            missing == 0,
        ),
    ]


def _read_elsewhere(servers: Sequence[Server], number: int) -> bool:
    there, here = servers[number % len(servers)], servers[(number + 1) % len(servers)]
    function = FUNCTIONS[number % len(FUNCTIONS)]
    asked = execution_service_pb2.RunFunctionRequest(function=function, input_json=f'{{"n": {number}}}')
    ran = there.executions.RunFunction(asked, metadata=there.metadata)
    reading = execution_service_pb2.GetExecutionRequest(name=ran.name)
    try:
        read: execution_pb2.Execution = here.executions.GetExecution(reading, metadata=here.metadata)
    except grpc.RpcError:
        return False
    return (read.state, read.output_json) == (execution_pb2.Execution.STATE_COMPLETED, str(number))


def _accepted(server: Server, metadata: list[tuple[str, str]]) -> bool:
    """Tell whether a server takes a key. Raises grpc.RpcError for any other refusal."""
    # what is not there is not found by who may look
    request = execution_service_pb2.GetExecutionRequest(name="executions/01890000-0000-7000-8000-000000000000")
    try:
        server.executions.GetExecution(request, metadata=metadata, timeout=5)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return False
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
    return True
