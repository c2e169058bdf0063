"""Errors in the vendor's words: ``{"error": {"code": <http>, "message": …, "missing"?: […]}}``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from polycall.domain import Reason
from polycall.errors import (
    AlreadyExists,
    Code,
    NotFound,
    PayloadTooLarge,
    PolycallError,
    QuotaExceeded,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    code_of,
)
from polycall.faces.cognite.requests import Reference, UnknownRoute
from polycall.faces.reply import HTTP_OF, Reply, retry_after
from polycall.faces.wire import UnsupportedEncoding, dump

__all__ = ["Duplicated", "Missing", "failed"]


_REASONS = {
    "File": Reason.FACE_OBJECT_NOT_FOUND,
    "Function": Reason.FUNCTION_NOT_FOUND,
    "Function call": Reason.EXECUTION_NOT_FOUND,
    "Schedule": Reason.SCHEDULE_NOT_FOUND,
    "Session": Reason.SESSION_NOT_FOUND,
}


class Missing(NotFound):
    """Raised for what is unknown, or another project's; names everything that is, as the SDK expects to read it."""

    def __init__(self, noun: str, references: Sequence[Reference]) -> None:
        names = " | ".join(str(reference) for reference in references)
        super().__init__(
            _REASONS[noun],
            f"cognite.{noun}",
            names,
            f"{noun} ids not found: ({names})",
        )
        self.references = tuple(references)


class Duplicated(AlreadyExists):
    """Raised for external ids that somebody else has."""

    def __init__(self, external_ids: Sequence[str]) -> None:
        super().__init__(
            "cognite.ExternalId",
            ", ".join(external_ids),
            f"External ids already exist: {', '.join(external_ids)}",
        )
        self.external_ids = tuple(external_ids)


class _Error(msgspec.Struct):
    code: int
    message: str
    missing: list[dict[str, int | str]] | msgspec.UnsetType = msgspec.UNSET
    duplicated: list[dict[str, str]] | msgspec.UnsetType = msgspec.UNSET


class _Body(msgspec.Struct):
    error: _Error


def failed(error: PolycallError) -> Reply:
    """Return the answer that an error gets."""
    code, status = _codes(error)
    message = "Unauthorized" if isinstance(error, Unauthenticated) else error.message
    body = _Error(status, message)
    if isinstance(error, Missing):
        body.missing = [_entry(reference) for reference in error.references]
    if isinstance(error, Duplicated):
        body.duplicated = [{"externalId": external_id} for external_id in error.external_ids]
    return Reply(
        body=dump(_Body(body)),
        status=status,
        code=code,
        message=message,
        headers=_headers(error),
    )


def _codes(error: PolycallError) -> tuple[Code, int]:
    match error:
        case UnknownRoute():
            return Code.UNIMPLEMENTED, 404
        case NotFound():
            return Code.NOT_FOUND, 400  # the SDK takes a 400 with `missing` for "not found", and raises on a 404
        case UnsupportedEncoding():
            return Code.INVALID_ARGUMENT, 415
        case PayloadTooLarge():
            return Code.RESOURCE_EXHAUSTED, 413
        case QuotaExceeded():
            return Code.RESOURCE_EXHAUSTED, 400  # the SDK sends again what gets a 429, ten times
        case _:
            code = code_of(error)
            return code, HTTP_OF[code]


def _entry(reference: Reference) -> dict[str, int | str]:
    if reference.id is not None:
        return {"id": reference.id}
    # callers of the SDK read external_id, its API documents externalId
    return {"external_id": reference.external_id, "externalId": reference.external_id}


def _headers(error: PolycallError) -> tuple[tuple[str, str], ...]:
    if isinstance(error, ResourceExhausted | Unavailable) and error.retry_after_s is not None:
        return retry_after(error.retry_after_s)
    return ()
