"""From an exception to what leaves the server: a ``google.rpc.Status`` with details.

Every error carries ``ErrorInfo{reason, domain, metadata}`` and at most one more detail of each kind. The whole is kept
small: gRPC peers refuse trailers of more than 8 KiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from polycall.domain import Reason
from polycall.errors import (
    AlreadyExists,
    Code,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PolycallError,
    QueueFull,
    ResourceExhausted,
    Unavailable,
    code_of,
)

__all__ = ["DETAILS_KEY", "DOMAIN", "UNRUN", "no_such_method", "short", "status_of", "unexpected", "unrun"]

DOMAIN = "polycall"
DETAILS_KEY = "grpc-status-details-bin"  # trailing metadata; the serialized google.rpc.Status
# Tells a gateway in front of several servers that another one may be asked: nothing ran here, and nothing was changed.
UNRUN = ("x-polycall-unrun", "1")

# A peer's default limit on metadata is 8 KiB; message (percent-encoded) and details (base64) share it with the rest.
_MESSAGE_SIZE = 1024
_VIOLATIONS_SIZE = 2048
_TEXT_SIZE = 300  # of one text within a detail
_MOST_VIOLATIONS = 20


def status_of(error: PolycallError) -> status_pb2.Status:
    """Return code, message and details of an error."""
    status = status_pb2.Status(code=code_of(error).value, message=short(error.message))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason.value,
        domain=DOMAIN,
        metadata={name: short(value, _TEXT_SIZE) for name, value in error.metadata.items()},
    )
    status.details.append(_packed(info))
    status.details.extend(_packed(detail) for detail in _details(error))
    return status


def unrun(error: PolycallError) -> bool:
    """Whether a request was refused for this server's own sake, before anything ran: it is full, or shuts down."""
    return isinstance(error, QueueFull) or (isinstance(error, Unavailable) and error.reason is Reason.DRAINING)


def unexpected(request_id: str) -> status_pb2.Status:
    """Return the status of an exception that is not ours; says nothing of it but where it was logged."""
    status = status_pb2.Status(
        code=Code.INTERNAL.value,
        message=f"Internal error; the server's log has it under request id {request_id}. Report it with that id.",
    )
    info = error_details_pb2.ErrorInfo(reason=Reason.INTERNAL.value, domain=DOMAIN, metadata={"request_id": request_id})
    status.details.extend((_packed(info), _packed(error_details_pb2.RequestInfo(request_id=request_id))))
    return status


def no_such_method(method: str) -> status_pb2.Status:
    """Return the status of a call of a method that does not exist."""
    status = status_pb2.Status(
        code=Code.UNIMPLEMENTED.value,
        message=short(f"There is no method {method} here; reflection lists those there are.", _TEXT_SIZE),
    )
    info = error_details_pb2.ErrorInfo(
        reason=Reason.UNKNOWN_METHOD.value, domain=DOMAIN, metadata={"method": short(method, _TEXT_SIZE)}
    )
    status.details.append(_packed(info))
    return status


def short(text: str, size: int = _MESSAGE_SIZE) -> str:
    """Return a text, cut so that it takes at most ``size`` bytes as ``grpc-message`` (percent-encoded)."""
    text = text.encode(errors="replace").decode()
    head = text[: size + 1]
    if len(text) == len(head) and _wire_size(text) <= size:
        return text
    room = size - _wire_size("…")
    for index, character in enumerate(head):
        room -= _wire_size(character)
        if room < 0:
            return f"{head[:index]}…"
    return head


def _wire_size(text: str) -> int:
    # gRPC over HTTP/2, "Responses": all but printable ASCII is percent-encoded, and the percent sign
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


def _details(error: PolycallError) -> Iterator[Message]:
    if isinstance(error, InvalidArgument):
        yield _bad_request(error.violations)
    elif isinstance(error, NotFound | AlreadyExists):
        yield error_details_pb2.ResourceInfo(
            resource_type=error.resource_type, resource_name=short(error.resource_name, _TEXT_SIZE)
        )
    elif isinstance(error, FailedPrecondition):
        violation = error_details_pb2.PreconditionFailure.Violation(
            type=error.reason.value,
            subject=short(error.subject, _TEXT_SIZE),
            description=short(error.message, _TEXT_SIZE),
        )
        yield error_details_pb2.PreconditionFailure(violations=[violation])
    elif isinstance(error, ResourceExhausted):
        quota = error_details_pb2.QuotaFailure.Violation(
            subject=short(error.subject, _TEXT_SIZE), description=short(error.message, _TEXT_SIZE)
        )
        yield error_details_pb2.QuotaFailure(violations=[quota])
        if error.retry_after_s is not None:
            yield _retry(error.retry_after_s)
    elif isinstance(error, Unavailable):
        yield _retry(error.retry_after_s)


def _bad_request(violations: Sequence[FieldViolation]) -> error_details_pb2.BadRequest:
    """Return as many violations as fit, and say how many more there are."""
    detail = error_details_pb2.BadRequest()
    for count, violation in enumerate(violations):
        added = detail.field_violations.add(
            field=short(violation.field, _TEXT_SIZE), description=short(violation.description, _TEXT_SIZE)
        )
        if count == _MOST_VIOLATIONS or detail.ByteSize() > _VIOLATIONS_SIZE:
            added.field = ""
            added.description = f"and {len(violations) - count} more"
            break
    return detail


def _retry(seconds: float) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
