"""What the tests of the native contract share: calls that fail, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from polycall.errors import Code

__all__ = ["Refusal", "bad_fields", "refusal", "refusal_if_told"]

KINDS = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        error_details_pb2.BadRequest,
        error_details_pb2.ErrorInfo,
        error_details_pb2.PreconditionFailure,
        error_details_pb2.QuotaFailure,
        error_details_pb2.RequestInfo,
        error_details_pb2.ResourceInfo,
        error_details_pb2.RetryInfo,
    )
}


@dataclass(frozen=True)
class Refusal:
    """An error as it came over the wire."""

    code: Code
    message: str
    reason: str
    metadata: dict[str, str]
    details: dict[str, Any] = field(default_factory=dict)  # the others, by short name
    trailing: dict[str, str | bytes] = field(default_factory=dict)


def refusal(act: Callable[[], Any]) -> Refusal:
    """Do what must fail and return its error; it carries one ErrorInfo of ours and at most one other of each kind."""
    with pytest.raises(grpc.RpcError) as caught:
        _finish(act())
    return _read(caught.value)


def refusal_if_told(act: Callable[[], Any]) -> Refusal | None:
    """Do what must fail and return its error; None if the client ended the call before the server said why."""
    with pytest.raises(grpc.RpcError) as caught:
        _finish(act())
    told = {key for key, _ in caught.value.trailing_metadata() or ()}
    return _read(caught.value) if "grpc-status-details-bin" in told else None


def _read(error: Any) -> Refusal:
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    assert (error.code().value[0], error.details()) == (status.code, status.message)
    details = {}
    for packed in status.details:
        detail = KINDS[packed.TypeName()]()
        assert packed.Unpack(detail)
        details[type(detail).__name__] = detail
    assert len(details) == len(status.details)
    info = details.pop("ErrorInfo")
    assert info.domain == "polycall"
    return Refusal(Code(status.code), status.message, info.reason, dict(info.metadata), details, trailing)


def _finish(answer: Any) -> None:
    """Read a stream to its end; a unary call has ended already."""
    if hasattr(answer, "__iter__"):
        for _ in answer:
            pass


def bad_fields(refused: Refusal) -> dict[str, str]:
    """Return the violations of an INVALID_ARGUMENT by field."""
    assert refused.code == Code.INVALID_ARGUMENT
    assert set(refused.details) == {"BadRequest"}
    violations = refused.details["BadRequest"].field_violations
    found = {violation.field: violation.description for violation in violations}
    assert len(found) == len(violations)
    return found
