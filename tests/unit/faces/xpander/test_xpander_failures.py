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
    RuntimeMissing,
    Unauthenticated,
    Unavailable,
)
from polycall.faces.wire import Malformed, UnsupportedEncoding
from polycall.faces.xpander.failures import failed
from polycall.faces.xpander.problems import Problems, Unprocessable

AGAIN = (("retry-after", "1"),)


@pytest.mark.parametrize(
    ("error", "status", "code", "detail", "headers"),
    [
        (Unauthenticated("", reason=Reason.API_KEY_MISSING), 401, Code.UNAUTHENTICATED, "Not authenticated", ()),
        (Unauthenticated(""), 403, Code.PERMISSION_DENIED, "Invalid API key", ()),
        (PermissionDenied("lacks run"), 403, Code.PERMISSION_DENIED, "lacks run", ()),
        (NotFound(Reason.PACKAGE_NOT_FOUND, "t", "n"), 404, Code.NOT_FOUND, "Custom function not found", ()),
        (NotFound(Reason.RUNTIME_NOT_FOUND, "t", "n", "no runtime"), 409, Code.FAILED_PRECONDITION, "no runtime", ()),
        (
            NotReady("", metadata={"state": "analysing"}),
            409,
            Code.FAILED_PRECONDITION,
            "Custom function is not ready (status: analysing)",
            (),
        ),
        (FailedPrecondition("no"), 409, Code.FAILED_PRECONDITION, "no", ()),
        (RuntimeMissing("no"), 409, Code.FAILED_PRECONDITION, "no", ()),
        (IsolationUnavailable("no"), 409, Code.FAILED_PRECONDITION, "no", ()),
        (LimitOutOfRange.of("limits.timeout", "no"), 409, Code.FAILED_PRECONDITION, "limits.timeout: no", ()),
        (AlreadyExists("t", "n", "no"), 409, Code.FAILED_PRECONDITION, "no", ()),
        (UnsupportedEncoding.of("", "br"), 415, Code.INVALID_ARGUMENT, "Unsupported Media Type", ()),
        (PayloadTooLarge("big"), 413, Code.RESOURCE_EXHAUSTED, "Request body too large", ()),
        (QueueFull("full", retry_after_s=0.5), 429, Code.RESOURCE_EXHAUSTED, "Too Many Requests", AGAIN),
        (
            DeadlineExceeded("", metadata={"phase": "queue"}),
            429,
            Code.RESOURCE_EXHAUSTED,
            "Too Many Requests",
            AGAIN,
        ),
        (DeadlineExceeded("", metadata={"phase": "run"}), 504, Code.DEADLINE_EXCEEDED, "Execution timed out", ()),
        (Unavailable(""), 503, Code.UNAVAILABLE, "Service Unavailable", AGAIN),
        (Internal("secret details"), 500, Code.INTERNAL, "Internal Server Error", ()),
        (Cancelled(""), 500, Code.INTERNAL, "Internal Server Error", ()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PolycallError) else "",
)
def test_every_error_has_the_vendors_status_and_detail(
    error: PolycallError, status: int, code: Code, detail: str, headers: tuple[tuple[str, str], ...]
) -> None:
    reply = failed(error)
    assert (reply.status, json.loads(reply.body), reply.code) == (status, {"detail": detail}, code)
    assert tuple(reply.headers) == headers


@pytest.mark.parametrize("error", [Malformed.of("", "not gzip"), InvalidArgument.of("", "not gzip")])
def test_a_body_that_cannot_be_read_is_a_list_of_one(error: PolycallError) -> None:
    reply = failed(error)
    assert (reply.status, reply.code) == (422, Code.INVALID_ARGUMENT)
    assert json.loads(reply.body) == {
        "detail": [
            {
                "type": "json_invalid",
                "loc": ["body", 0],
                "msg": "JSON decode error",
                "input": {},
                "ctx": {"error": "not gzip"},
            }
        ]
    }


def test_problems_are_the_vendors_list_in_its_order() -> None:
    problems = Problems()
    problems.add("missing", ("body", "rows", 0, "id"), "Field required", b'{"n": 1.0}')
    reply = failed(Unprocessable(problems.found))
    assert reply.status == 422
    assert reply.body == (
        b'{"detail":[{"type":"missing","loc":["body","rows",0,"id"],"msg":"Field required","input":{"n": 1.0}}]}'
    )
