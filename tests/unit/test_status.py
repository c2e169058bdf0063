"""polycall.status."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Reason
from polycall.errors import (
    CODES,
    AlreadyExists,
    Cancelled,
    Code,
    DeadlineExceeded,
    FieldViolation,
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
from polycall.status import no_such_method, short, status_of, unexpected
from polycall.v1 import error_reason_pb2

KINDS = (
    details.ErrorInfo,
    details.BadRequest,
    details.RetryInfo,
    details.QuotaFailure,
    details.ResourceInfo,
    details.PreconditionFailure,
    details.RequestInfo,
)


def unpacked(status: status_pb2.Status) -> list[Message]:
    found: list[Message] = []
    for packed in status.details:
        for kind in KINDS:
            detail = kind()
            if packed.Unpack(detail):
                found.append(detail)
    assert len(found) == len(status.details)
    assert len({type(detail) for detail in found}) == len(found), "at most one detail of each type"
    return found


def info(reason: str, **metadata: str) -> details.ErrorInfo:
    return details.ErrorInfo(reason=reason, domain="polycall", metadata=metadata)


def violation(field: str, description: str) -> details.BadRequest.FieldViolation:
    return details.BadRequest.FieldViolation(field=field, description=description)


def retry(seconds: int, nanos: int = 0) -> details.RetryInfo:
    return details.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("error", "code", "message", "expected"),
    [
        (
            InvalidArgument([FieldViolation("code", "must not be empty"), FieldViolation("", "is odd")]),
            Code.INVALID_ARGUMENT,
            "code: must not be empty; is odd",
            [
                info("INVALID_INPUT"),
                details.BadRequest(field_violations=[violation("code", "must not be empty"), violation("", "is odd")]),
            ],
        ),
        (
            LimitOutOfRange.of("limits.timeout", "must be 0.001 to 1200 s, got 5000"),
            Code.INVALID_ARGUMENT,
            "limits.timeout: must be 0.001 to 1200 s, got 5000",
            [
                info("LIMIT_OUT_OF_RANGE"),
                details.BadRequest(field_violations=[violation("limits.timeout", "must be 0.001 to 1200 s, got 5000")]),
            ],
        ),
        (
            Unauthenticated("No key.", reason=Reason.API_KEY_MISSING),
            Code.UNAUTHENTICATED,
            "No key.",
            [info("API_KEY_MISSING")],
        ),
        (
            PermissionDenied("No.", metadata={"scope": "run"}),
            Code.PERMISSION_DENIED,
            "No.",
            [info("SCOPE_MISSING", scope="run")],
        ),
        (
            NotFound(Reason.PACKAGE_NOT_FOUND, "polycall.v1.Package", "packages/p"),
            Code.NOT_FOUND,
            "packages/p does not exist in this project.",
            [
                info("PACKAGE_NOT_FOUND", resource="packages/p"),
                details.ResourceInfo(resource_type="polycall.v1.Package", resource_name="packages/p"),
            ],
        ),
        (
            AlreadyExists("polycall.v1.Package", "packages/p"),
            Code.ALREADY_EXISTS,
            "packages/p already exists.",
            [
                info("ALREADY_EXISTS", resource="packages/p"),
                details.ResourceInfo(resource_type="polycall.v1.Package", resource_name="packages/p"),
            ],
        ),
        (
            NotReady("Broken.", subject="packages/p/versions/1", metadata={"state": "error"}),
            Code.FAILED_PRECONDITION,
            "Broken.",
            [
                info("FUNCTION_NOT_READY", state="error"),
                details.PreconditionFailure(
                    violations=[
                        details.PreconditionFailure.Violation(
                            type="FUNCTION_NOT_READY", subject="packages/p/versions/1", description="Broken."
                        )
                    ]
                ),
            ],
        ),
        (
            QueueFull("Full.", subject="queue", retry_after_s=0.25, metadata={"queue": "8"}),
            Code.RESOURCE_EXHAUSTED,
            "Full.",
            [
                info("QUEUE_FULL", queue="8"),
                details.QuotaFailure(violations=[details.QuotaFailure.Violation(subject="queue", description="Full.")]),
                retry(0, 250_000_000),
            ],
        ),
        (
            PayloadTooLarge("Large.", subject="size"),
            Code.RESOURCE_EXHAUSTED,
            "Large.",
            [
                info("PAYLOAD_TOO_LARGE"),
                details.QuotaFailure(violations=[details.QuotaFailure.Violation(subject="size", description="Large.")]),
            ],
        ),
        (
            DeadlineExceeded("Late.", metadata={"phase": "queue"}),
            Code.DEADLINE_EXCEEDED,
            "Late.",
            [info("QUEUE_TIMEOUT", phase="queue")],
        ),
        (Cancelled("Gone."), Code.CANCELLED, "Gone.", [info("CANCELLED_BY_CLIENT")]),
        (Unavailable("Draining."), Code.UNAVAILABLE, "Draining.", [info("DRAINING"), retry(1)]),
        (Internal("Ours."), Code.INTERNAL, "Ours.", [info("INTERNAL")]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PolycallError) else "",
)
def test_every_error_carries_its_reason_and_the_detail_that_fits(
    error: PolycallError, code: Code, message: str, expected: list[Message]
) -> None:
    status = status_of(error)
    assert (status.code, status.message) == (code.value, message)
    assert unpacked(status) == expected


def test_every_class_of_the_table_has_a_case_above() -> None:
    covered = {InvalidArgument, Unauthenticated, PermissionDenied, NotFound, AlreadyExists, DeadlineExceeded, Cancelled}
    assert set(CODES) == covered | {NotReady.__base__, QueueFull.__base__, Unavailable, Internal}
    for error in (RuntimeMissing("x"), IsolationUnavailable("x")):
        assert status_of(error).code == Code.FAILED_PRECONDITION


def test_every_reason_is_in_the_contract_under_its_name() -> None:
    values = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert values == {reason.value for reason in Reason} | {"UNSPECIFIED"}


def test_an_unexpected_exception_leaves_only_its_request_id() -> None:
    status = unexpected("r-1")
    assert status.code == Code.INTERNAL
    assert "r-1" in status.message
    assert unpacked(status) == [info("INTERNAL", request_id="r-1"), details.RequestInfo(request_id="r-1")]


def test_an_unknown_method_is_named() -> None:
    status = no_such_method("/a.B/C")
    assert status.code == Code.UNIMPLEMENTED
    assert unpacked(status) == [info("UNKNOWN_METHOD", method="/a.B/C")]


def wire_size(status: status_pb2.Status) -> int:
    message = sum(1 if 0x20 <= b <= 0x7E and b != 0x25 else 3 for b in status.message.encode())
    return message + len(status.SerializeToString()) * 4 // 3 + 4


TEXTS = st.one_of(st.text(max_size=50), st.text(min_size=1, max_size=3).map(lambda text: text * 5000))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=100))
def test_a_status_always_fits_into_a_peers_8_kib(violations: list[tuple[str, str]]) -> None:
    status = status_of(InvalidArgument([FieldViolation(*pair) for pair in violations]))
    assert wire_size(status) < 7 * 1024


@given(TEXTS, TEXTS)
def test_a_precondition_fits_as_well(message: str, subject: str) -> None:
    status = status_of(NotReady(message, subject=subject, metadata={"version": subject, "state": message}))
    assert wire_size(status) < 7 * 1024


def test_violations_that_do_not_fit_are_counted() -> None:
    status = status_of(InvalidArgument([FieldViolation(f"f[{i}]", "x") for i in range(50)]))
    bad = next(detail for detail in unpacked(status) if isinstance(detail, details.BadRequest))
    assert [v.field for v in bad.field_violations] == [*(f"f[{i}]" for i in range(20)), ""]
    assert bad.field_violations[-1].description == "and 30 more"


@given(st.text(st.characters()), st.integers(9, 200))
def test_a_short_text_is_the_text_or_its_beginning(text: str, size: int) -> None:
    cut = short(text, size)
    whole = text.encode(errors="replace").decode()
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))
    assert sum(1 if 0x20 <= b <= 0x7E and b != 0x25 else 3 for b in cut.encode()) <= size
    assert unquote(cut) is not None
