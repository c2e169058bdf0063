"""Errors in the vendor's words: ``{"code": <google.rpc.Code>, "message": …}``.

The vendor's SDKs repeat a request after 408, 409, 429 and every 5xx. So these are kept for what a repetition can help,
and what may have run says ``x-should-retry: false``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polycall.errors import (
    Code,
    DeadlineExceeded,
    PayloadTooLarge,
    PolycallError,
    QuotaExceeded,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    code_of,
)
from polycall.faces.reply import HTTP_OF, Reply, retry_after
from polycall.faces.wire import dump

__all__ = ["failed"]

_REFUSALS: Mapping[Code, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.ALREADY_EXISTS: 400,  # a 409 would be repeated
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
}
_NEVER_AGAIN = (("x-should-retry", "false"),)


class _Body(msgspec.Struct):
    code: int
    message: str


def failed(error: PolycallError, headers: Mapping[str, str]) -> Reply:
    """Return the answer that an error gets. ``headers``: the request's."""
    match error:
        case Unauthenticated():
            return _reply(Code.UNAUTHENTICATED, 401, "unauthenticated")
        case PayloadTooLarge():
            return _reply(Code.INVALID_ARGUMENT, 413, error.message)
        case QuotaExceeded():
            return _reply(Code.RESOURCE_EXHAUSTED, 400, error.message)  # a 429 would be repeated
        case ResourceExhausted():
            return _again(Code.RESOURCE_EXHAUSTED, error, error.retry_after_s)
        case DeadlineExceeded() if error.metadata.get("phase") == "queue":  # nothing ran
            return _again(Code.RESOURCE_EXHAUSTED, error, None)
        case Unavailable():
            return _again(Code.UNAVAILABLE, error, error.retry_after_s)
    code = code_of(error)
    if code in _REFUSALS:
        return _reply(code, _REFUSALS[code], error.message)
    request = headers.get("x-request-id")
    message = f"{error.message} (request {request})" if request else error.message
    return _reply(Code.INTERNAL, 500, message, _NEVER_AGAIN)


def _again(code: Code, error: PolycallError, after_s: float | None) -> Reply:
    return _reply(code, HTTP_OF[code], error.message, retry_after(after_s))


def _reply(code: Code, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(body=dump(_Body(code, message)), status=status, code=code, message=message, headers=headers)
