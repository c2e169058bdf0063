"""Everything polycall raises on purpose.

::

    PolycallError
    ├── InvalidArgument          a field is wrong; carries every violation at once
    │   └── LimitOutOfRange      a limit is outside what the server allows
    ├── Unauthenticated          no key, or not a key of ours
    ├── PermissionDenied         a key without the scope
    ├── NotFound                 unknown, or another project's
    ├── FailedPrecondition       right request, wrong moment or machine
    │   ├── NotReady             the version cannot be run (state ERROR, ANALYSING, ...)
    │   ├── RuntimeMissing       the language is not installed here
    │   └── IsolationUnavailable the machine cannot isolate untrusted code well enough
    ├── AlreadyExists            the id is taken
    ├── ResourceExhausted        nothing ran; come back later, or send less
    │   ├── QueueFull
    │   ├── QuotaExceeded        a project has as many of something as it may have
    │   └── PayloadTooLarge
    ├── DeadlineExceeded         the caller's deadline passed; says in which phase
    ├── Cancelled                the caller went away
    ├── Unavailable              nothing ran; the server is draining or its store is away
    └── Internal                 our fault

User code that fails raises none of these: it is an outcome (``polycall.sandbox.Outcome``). ``CODES`` is
the one table from exception to ``google.rpc.Code``; ``polycall.status`` turns an exception into a
``google.rpc.Status`` with details, the faces turn it into their vendor's body.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from polycall.domain import Reason
from polycall.quick import dataclass

__all__ = [
    "CODES",
    "AlreadyExists",
    "Cancelled",
    "Code",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidArgument",
    "IsolationUnavailable",
    "LimitOutOfRange",
    "NotFound",
    "NotReady",
    "PayloadTooLarge",
    "PermissionDenied",
    "PolycallError",
    "QueueFull",
    "QuotaExceeded",
    "ResourceExhausted",
    "RuntimeMissing",
    "Unauthenticated",
    "Unavailable",
    "code_of",
]


class Code(enum.IntEnum):
    """The numbers of ``google.rpc.Code``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path in the request and what is wrong with it."""

    field: str
    description: str


class PolycallError(Exception):
    """Base of all. ``message`` is written for the caller: what, where, why, what next.

    ``metadata`` repeats each dynamic word of the message for machines (``google.rpc.ErrorInfo``).
    """

    reason: Reason = Reason.INTERNAL

    def __init__(
        self, message: str, *, reason: Reason | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = dict(metadata or {})


class InvalidArgument(PolycallError):
    """Raised before anything ran; ``violations`` names every wrong field that was found."""

    reason = Reason.INVALID_INPUT

    def __init__(
        self,
        violations: Sequence[FieldViolation],
        *,
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        text = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
        super().__init__(text, reason=reason, metadata=metadata)
        self.violations = tuple(violations)

    @classmethod
    def of(cls, field: str, description: str) -> InvalidArgument:
        """One violation."""
        return cls([FieldViolation(field, description)])


class LimitOutOfRange(InvalidArgument):
    """Raised for a limit outside its range: nothing is clamped silently."""

    reason = Reason.LIMIT_OUT_OF_RANGE


class Unauthenticated(PolycallError):
    """Raised without a usable key."""

    reason = Reason.API_KEY_INVALID


class PermissionDenied(PolycallError):
    """Raised when the key lacks a scope."""

    reason = Reason.SCOPE_MISSING


class NotFound(PolycallError):
    """Raised for what is unknown and for what belongs to another project, without telling which."""

    def __init__(self, reason: Reason, resource_type: str, resource_name: str, message: str | None = None) -> None:
        super().__init__(
            message or f"{resource_name} does not exist in this project.",
            reason=reason,
            metadata={"resource": resource_name},
        )
        self.resource_type = resource_type
        self.resource_name = resource_name


class FailedPrecondition(PolycallError):
    """Raised when the request is right and the state is not. ``subject`` is what has to change."""

    reason = Reason.FUNCTION_NOT_READY

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        reason: Reason | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.subject = subject


class NotReady(FailedPrecondition):
    """Raised when a version exists and cannot be run; ``metadata["state"]`` says why."""


class RuntimeMissing(FailedPrecondition):
    """Raised when a language or runtime is not installed on this server."""

    reason = Reason.RUNTIME_MISSING


class IsolationUnavailable(FailedPrecondition):
    """Raised when the isolation level is below the floor."""

    reason = Reason.ISOLATION_UNAVAILABLE


class AlreadyExists(PolycallError):
    """Raised when an id is taken or a version is already released."""

    reason = Reason.ALREADY_EXISTS

    def __init__(
        self, resource_type: str, resource_name: str, message: str | None = None, *, reason: Reason | None = None
    ) -> None:
        super().__init__(
            message or f"{resource_name} already exists.", reason=reason, metadata={"resource": resource_name}
        )
        self.resource_type = resource_type
        self.resource_name = resource_name


class ResourceExhausted(PolycallError):
    """Raised before anything ran. ``retry_after_s`` is None where repeating cannot help."""

    reason = Reason.QUEUE_FULL

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.subject = subject
        self.retry_after_s = retry_after_s


class QueueFull(ResourceExhausted):
    """Raised when as many runs wait as may wait."""


class QuotaExceeded(ResourceExhausted):
    """Raised when a project has as many of something as it may have."""

    reason = Reason.QUOTA_EXCEEDED


class PayloadTooLarge(ResourceExhausted):
    """Raised when a request or an answer is larger than its limit."""

    reason = Reason.PAYLOAD_TOO_LARGE


class DeadlineExceeded(PolycallError):
    """Raised when the caller's own deadline passed; ``metadata["phase"]`` is queue, start or run."""

    reason = Reason.QUEUE_TIMEOUT


class Cancelled(PolycallError):
    """Raised when the caller cancelled; the run was killed."""

    reason = Reason.CANCELLED_BY_CLIENT


class Unavailable(PolycallError):
    """Raised before anything ran; safe to repeat."""

    reason = Reason.DRAINING

    def __init__(self, message: str, *, reason: Reason | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_s = retry_after_s


class Internal(PolycallError):
    """Raised when polycall itself failed."""


# The one table. The most specific class wins; anything unknown is INTERNAL.
CODES: Mapping[type[PolycallError], Code] = {
    InvalidArgument: Code.INVALID_ARGUMENT,
    Unauthenticated: Code.UNAUTHENTICATED,
    PermissionDenied: Code.PERMISSION_DENIED,
    NotFound: Code.NOT_FOUND,
    FailedPrecondition: Code.FAILED_PRECONDITION,
    AlreadyExists: Code.ALREADY_EXISTS,
    ResourceExhausted: Code.RESOURCE_EXHAUSTED,
    DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    Cancelled: Code.CANCELLED,
    Unavailable: Code.UNAVAILABLE,
    Internal: Code.INTERNAL,
}


def code_of(error: BaseException) -> Code:
    """Return the ``google.rpc.Code`` of an exception; INTERNAL for any that is not ours."""
    for cls in type(error).__mro__:
        if cls in CODES:
            return CODES[cls]
    return Code.INTERNAL
