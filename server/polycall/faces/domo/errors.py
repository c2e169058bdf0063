"""Errors in the vendor's words: ``{"status", "statusReason", "message"}``."""

from __future__ import annotations

from collections.abc import Sequence

from polycall.domain import Reason
from polycall.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    IsolationUnavailable,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PolycallError,
    QuotaExceeded,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    code_of,
)
from polycall.faces.reply import Reply, retry_after
from polycall.faces.wire import UnsupportedEncoding, dump

__all__ = ["CONTENT_TYPE", "failed", "unanswered"]

CONTENT_TYPE = "application/json;charset=UTF-8"
_ANONYMOUS = "No token came with the request; send X-DOMO-Developer-Token."

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    499: "Client Closed Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_AGAIN = (429, 503)  # nothing ran


def failed(error: PolycallError) -> Reply:
    """Word an error. Its own message is written for the caller; only the name of the header is the vendor's."""
    status = _status(error)
    message = _ANONYMOUS if error.reason is Reason.API_KEY_MISSING else error.message
    body = {"status": status, "statusReason": _REASONS[status], "message": message}
    return Reply(
        body=dump(body),
        status=status,
        code=code_of(error),
        message=message,
        content_type=CONTENT_TYPE,
        headers=retry_after(getattr(error, "retry_after_s", None)) if status in _AGAIN else (),
    )


def unanswered(status: str, messages: Sequence[str]) -> Reply:
    """Say that a function did not succeed, where an answer would be its bare result. The run itself is on record."""
    message = "; ".join(messages) or status
    return Reply(
        body=dump({"status": 400, "statusReason": _REASONS[400], "message": message}),
        status=400,
        code=Code.FAILED_PRECONDITION,
        message=message,
        content_type=CONTENT_TYPE,
    )


def _status(error: PolycallError) -> int:
    match error:
        case UnsupportedEncoding():
            return 415
        case InvalidArgument():
            return 400
        case Unauthenticated():
            return 401
        case PermissionDenied():
            return 403
        case NotFound():
            return 404
        case AlreadyExists():
            return 409
        case PayloadTooLarge():
            return 413
        case QuotaExceeded():
            return 400  # a 429 says that it helps to come back
        case ResourceExhausted():
            return 429
        case Cancelled():
            return 499
        case IsolationUnavailable():
            return 500  # the request is right; nothing that the caller can change
        case FailedPrecondition():
            return 400
        case Unavailable():
            return 503
        case DeadlineExceeded() if error.metadata.get("phase") == "queue":  # nothing ran
            return 429
        case DeadlineExceeded():
            return 504
        case _:
            return 500
