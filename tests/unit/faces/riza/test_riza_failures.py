from __future__ import annotations

import json

import pytest

from polycall.domain import Reason
from polycall.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    IsolationUnavailable,
    LimitOutOfRange,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    PolycallError,
    QueueFull,
    ResourceExhausted,
    RuntimeMissing,
    Unauthenticated,
    Unavailable,
)
from polycall.faces.riza.failures import failed
from polycall.faces.wire import Malformed, UnsupportedEncoding

QUEUE, RUN = {"phase": "queue"}, {"phase": "run"}
AFTER_START = (("x-should-retry", "false"),)


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (InvalidArgument.of("code", "is required"), 400, 3, ()),
        (LimitOutOfRange.of("limits.x", "must be less"), 400, 3, ()),
        (Malformed.of("", "not JSON"), 400, 3, ()),
        (UnsupportedEncoding.of("", "br"), 400, 3, ()),
        (PermissionDenied("no"), 403, 7, ()),
        (NotFound(Reason.VERSION_NOT_FOUND, "t", "n"), 404, 5, ()),
        (FailedPrecondition("f"), 400, 9, ()),
        (NotReady("f"), 400, 9, ()),
        (RuntimeMissing("f"), 400, 9, ()),
        (IsolationUnavailable("f"), 400, 9, ()),
        (AlreadyExists("t", "n"), 400, 6, ()),
        (PayloadTooLarge("big"), 413, 3, ()),
        (QueueFull("full", retry_after_s=0.2), 429, 8, (("retry-after", "1"),)),
        (ResourceExhausted("full", retry_after_s=2.1), 429, 8, (("retry-after", "3"),)),
        (ResourceExhausted("full"), 429, 8, (("retry-after", "1"),)),
        (DeadlineExceeded("late", metadata=QUEUE), 429, 8, (("retry-after", "1"),)),
        (Unavailable("draining"), 503, 14, (("retry-after", "1"),)),
        (DeadlineExceeded("late", metadata=RUN), 500, 13, AFTER_START),
        (Internal("ours"), 500, 13, AFTER_START),
        (Cancelled("gone"), 500, 13, AFTER_START),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PolycallError) else "",
)
def test_every_error_has_the_vendors_status_code_and_headers(
    error: PolycallError, status: int, code: int, headers: tuple[tuple[str, str], ...]
) -> None:
    reply = failed(error, {})
    assert reply.status == status
    assert json.loads(reply.body) == {"code": code, "message": error.message}
    assert list(json.loads(reply.body)) == ["code", "message"]
    assert reply.code == Code(code)
    assert tuple(reply.headers) == headers


@pytest.mark.parametrize("reason", [Reason.API_KEY_MISSING, Reason.API_KEY_INVALID])
def test_without_a_good_key_the_body_is_the_documented_one(reason: Reason) -> None:
    reply = failed(Unauthenticated("The key is bad.", reason=reason), {})
    assert (reply.status, reply.body) == (401, b'{"code":16,"message":"unauthenticated"}')


def test_our_own_fault_names_the_request() -> None:
    reply = failed(Internal("Internal error."), {"x-request-id": "r-1"})
    assert json.loads(reply.body)["message"] == "Internal error. (request r-1)"
