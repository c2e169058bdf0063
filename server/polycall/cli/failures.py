"""What a user sees when something goes wrong: what, where, why, and the next step; never a traceback."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from polycall.cli.exits import Exit
from polycall.cli.terminal import tell

if TYPE_CHECKING:
    import grpc

__all__ = ["Failure", "rpc_failure"]

_EXITS = {
    "CANCELLED": Exit.INTERRUPTED,
    "DEADLINE_EXCEEDED": Exit.LIMIT,
    "RESOURCE_EXHAUSTED": Exit.LIMIT,
    "UNAUTHENTICATED": Exit.DENIED,
    "PERMISSION_DENIED": Exit.DENIED,
    "UNAVAILABLE": Exit.UNREACHABLE,
    "INTERNAL": Exit.UNREACHABLE,
    "UNKNOWN": Exit.UNREACHABLE,
    "DATA_LOSS": Exit.UNREACHABLE,
}  # everything else: USAGE
_EXITS_OF_REASONS = {"LIMIT_OUT_OF_RANGE": Exit.LIMIT}

_NEXT = {
    "API_KEY_MISSING": "Give one with --key or POLYCALL_API_KEY.",
    "API_KEY_INVALID": "Give another one with --key or POLYCALL_API_KEY; `polycall keys create` makes one.",
    "SCOPE_MISSING": "`polycall keys create --scope ...` makes a key that may, if yours may give that scope.",
    "PACKAGE_NOT_FOUND": "`polycall packages list` shows what there is.",
    "VERSION_NOT_FOUND": "`polycall packages versions PACKAGE` shows what there is.",
    "RUNTIME_NOT_FOUND": "`polycall runtimes list` shows what there is.",
    "SCHEDULE_NOT_FOUND": "`polycall schedules list` shows what there is.",
    "SECRET_NOT_FOUND": "`polycall secrets list` shows what there is.",
    "EXECUTION_NOT_FOUND": "`polycall executions list` shows what there is.",
    "API_KEY_NOT_FOUND": "`polycall keys list` shows what there is.",
    "PROJECT_NOT_FOUND": "`polycall projects list` shows what there is.",
    "ISOLATION_UNAVAILABLE": "`polycall doctor --server` says what is missing and how to get it.",
    "DRAINING": "Nothing ran; try again when it is back.",
}


class Failure(click.ClickException):
    """Raised to end the command with a message and an exit code; ``reason`` is the server's, if it refused."""

    def __init__(self, message: str, code: Exit = Exit.USAGE, *, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on standard error."""
        tell(f"polycall: {self.message}", "red")


def rpc_failure(error: grpc.RpcError, address: str) -> Failure:
    """Return what to tell the user of a failed RPC to ``address``."""
    code: str = error.code().name
    details: str = error.details() or ""
    reason, retry_s = _parse(error)
    if not reason:
        return _foreign(code, details, address)
    parts = [details]
    if retry_s is not None:
        parts.append(f"Retry in {retry_s:g} s.")
    if reason in _NEXT:
        parts.append(_NEXT[reason])
    return Failure(" ".join(parts), _EXITS_OF_REASONS.get(reason, _EXITS.get(code, Exit.USAGE)), reason=reason)


def _parse(error: grpc.RpcError) -> tuple[str, float | None]:
    """Return the reason and the retry delay that the server attached; "" if it is not polycall's error."""
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    from polycall.status import DETAILS_KEY, DOMAIN

    reason, retry_s = "", None
    metadata = dict(error.trailing_metadata() or ())
    try:
        status = status_pb2.Status.FromString(metadata.get(DETAILS_KEY, b""))
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                reason = info.reason
            elif detail.Unpack(retry):
                retry_s = retry.retry_delay.ToTimedelta().total_seconds()
    except DecodeError:
        return "", None
    return reason, retry_s


def _foreign(code: str, details: str, address: str) -> Failure:
    """Return what to tell of an error that polycall did not make: nobody there, somebody else, or the library."""
    if code == "CANCELLED":
        return Failure("cancelled.", Exit.INTERRUPTED)
    if code == "DEADLINE_EXCEEDED":
        return Failure(f"{address} did not answer in time.", Exit.LIMIT)
    if code == "RESOURCE_EXHAUSTED":  # the gRPC library's own limits on messages
        return Failure(details, Exit.LIMIT)
    if code == "UNAVAILABLE":
        why = details.rpartition(": ")[2] or "no answer"
        return Failure(
            f"cannot reach polycall at {address} ({why}). Start it with `polycall serve`, or name another server"
            " with --server or POLYCALL_SERVER.",
            Exit.UNREACHABLE,
        )
    return Failure(
        f"{address} does not answer as polycall's gRPC address does ({code}: {details}). It is the one that"
        " `polycall serve` prints as gRPC, 127.0.0.1:50051 by default.",
        Exit.UNREACHABLE,
    )
