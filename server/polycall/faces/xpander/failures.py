"""Errors in the vendor's words: ``{"detail": "…"}``, and a list of problems for HTTP 422."""

from __future__ import annotations

import msgspec

from polycall.domain import Reason
from polycall.errors import (
    AlreadyExists,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    LimitOutOfRange,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    PolycallError,
    QuotaExceeded,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from polycall.faces.reply import HTTP_OF, Reply, retry_after
from polycall.faces.wire import UnsupportedEncoding, dump
from polycall.faces.xpander.bodies import not_json
from polycall.faces.xpander.problems import Problem, Unprocessable

__all__ = ["failed"]


class _List(msgspec.Struct):
    detail: tuple[Problem, ...]


def failed(error: PolycallError) -> Reply:
    """Return the answer that an error gets."""
    match error:
        case Unauthenticated(reason=Reason.API_KEY_MISSING):
            return _reply(Code.UNAUTHENTICATED, 401, "Not authenticated")
        case Unauthenticated():
            return _reply(Code.PERMISSION_DENIED, 403, "Invalid API key")
        case PermissionDenied():
            return _reply(Code.PERMISSION_DENIED, 403, error.message)
        case NotFound(reason=Reason.RUNTIME_NOT_FOUND):  # that of the version: the function itself is there
            return _reply(Code.FAILED_PRECONDITION, 409, error.message)
        case NotFound():
            return _reply(Code.NOT_FOUND, 404, "Custom function not found")
        case NotReady():
            state = error.metadata.get("state", "error")
            return _reply(Code.FAILED_PRECONDITION, 409, f"Custom function is not ready (status: {state})")
        case FailedPrecondition() | AlreadyExists() | LimitOutOfRange():  # limits are the version's, not the caller's
            return _reply(Code.FAILED_PRECONDITION, 409, error.message)
        case UnsupportedEncoding():
            return _reply(Code.INVALID_ARGUMENT, 415, "Unsupported Media Type")
        case Unprocessable():
            return _list(error.problems)
        case InvalidArgument():
            return _list(not_json(0, error.message).problems)
        case PayloadTooLarge():
            return _reply(Code.RESOURCE_EXHAUSTED, 413, "Request body too large")
        case QuotaExceeded():
            return _reply(Code.RESOURCE_EXHAUSTED, 409, error.message)  # a 429 says that it helps to come back
        case ResourceExhausted():
            return _again(Code.RESOURCE_EXHAUSTED, "Too Many Requests", error.retry_after_s)
        case DeadlineExceeded() if error.metadata.get("phase") == "queue":  # nothing ran
            return _again(Code.RESOURCE_EXHAUSTED, "Too Many Requests", None)
        case DeadlineExceeded():
            return _reply(Code.DEADLINE_EXCEEDED, 504, "Execution timed out")
        case Unavailable():
            return _again(Code.UNAVAILABLE, "Service Unavailable", error.retry_after_s)
    return _reply(Code.INTERNAL, 500, "Internal Server Error")


def _reply(code: Code, status: int, detail: str) -> Reply:
    return Reply(body=dump({"detail": detail}), status=status, code=code, message=detail)


def _list(problems: tuple[Problem, ...]) -> Reply:
    return Reply(body=dump(_List(problems)), status=422, code=Code.INVALID_ARGUMENT, message="Unprocessable Entity")


def _again(code: Code, detail: str, after_s: float | None) -> Reply:
    return Reply(
        body=dump({"detail": detail}),
        status=HTTP_OF[code],
        code=code,
        message=detail,
        headers=retry_after(after_s),
    )
