"""What goes wrong, in the vendor's two vocabularies.

The gateway's own errors (a wrong key, a body that is no JSON) are HTTP errors. Everything about the function is a
:class:`Failure` inside ``content``, and HTTP 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from polycall.domain import Execution, ExecutionError, ExecutionState, Reason
from polycall.errors import (
    AlreadyExists,
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
    RuntimeMissing,
    Unauthenticated,
    Unavailable,
)
from polycall.faces.signals import signal_name
from polycall.faces.wire import Malformed, UnsupportedEncoding
from polycall.quick import dataclass

__all__ = [
    "Failure",
    "GatewayError",
    "Refused",
    "bare_failure_of",
    "failed",
    "failure_of",
    "gateway_error_of",
    "no_such",
    "pre_check_failed",
    "timed_out",
    "unreadable",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error inside ``content``. ``error`` is the vendor's number, printed as it stands: 599.3, 404.41."""

    reason: str
    error: float
    message: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayError:
    """An HTTP error of the gateway."""

    status: int
    error_code: str
    message: str


class Refused(InvalidArgument):
    """Raised for a request that the vendor's function level refuses."""

    def __init__(self, failure: Failure) -> None:
        super().__init__([])
        self.failure = failure

    @classmethod
    def bad_body(cls, message: str) -> Refused:
        """``funcBody`` breaks a rule."""
        return cls(Failure("EClientBadRequest", 400.43, "Invalid request body", {"message": message}))


def gateway_error_of(error: PolycallError, auth_status: int) -> GatewayError:
    """Word an error of the gateway: all that happens before a function is looked for, and what is our fault."""
    match error:
        case Unauthenticated():
            return GatewayError(auth_status, "ft.InvalidAPIKey", "Invalid API Key")
        case PermissionDenied():
            return GatewayError(403, "ft.InvalidAPIKey", error.message)
        case UnsupportedEncoding():
            return GatewayError(415, "ft.InvalidParameter", error.message)
        case Malformed():
            return GatewayError(400, "ft.InvalidParameter", error.message)
        case PayloadTooLarge():
            return GatewayError(413, "ft.InvalidParameter", error.message)
        case _:
            return GatewayError(500, "ft.InternalError", error.message)


def failure_of(error: PolycallError, func_id: str, task_id: str) -> Failure | None:
    """Word an error inside ``content``; None for one of the gateway."""
    match error:
        case Malformed() | UnsupportedEncoding() | PayloadTooLarge():
            return None
        case Refused():
            return error.failure
        case NotFound():
            return Failure("EClientNotFound", 404.41, "No such Func", {"funcId": func_id})
        case NotReady():
            # Only versions whose source could not be read get here: as far as a caller can tell, a publish that failed.
            return pre_check_failed({"einfoTEXT": _last_line(error.message), "id": task_id})
        case RuntimeMissing():
            return Failure("EClientUnsupported", 400.44, error.message)
        case DeadlineExceeded():
            return timed_out(task_id)
        case LimitOutOfRange() | QuotaExceeded() | Unavailable():
            return Failure("ESysLimitReached", 503.1, error.message)
        case ResourceExhausted():
            return Failure("EClientRateLimit.WorkerQueueLength", 429.46, "Too many tasks in queue")
        case InvalidArgument():
            return Refused.bad_body(error.message).failure
        case FailedPrecondition():
            return Failure("ESys", 500.5, error.message)
        case _:
            return None


def bare_failure_of(error: PolycallError) -> Failure:
    """Word an error of the routes that answer in the function level's envelope alone."""
    match error:
        case Refused():
            return error.failure
        case Unauthenticated():
            return Failure("EUserAuth", 401.14, "Not signed in")
        case PermissionDenied():
            return Failure("EUserPrivilege", 401.15, error.message)
        case NotFound():
            return Failure("EClientNotFound", 404.41, "No such data", {"id": error.resource_name})
        case AlreadyExists():
            return Failure("EClientDuplicated", 409.42, error.message)
        case PayloadTooLarge() | InvalidArgument():
            return Refused.bad_body(error.message).failure
        case QuotaExceeded() | Unavailable():
            return Failure("ESysLimitReached", 503.1, error.message)
        case ResourceExhausted():
            return Failure("EClientRateLimit.WorkerQueueLength", 429.46, "Too many tasks in queue")
        case RuntimeMissing():
            return Failure("EClientUnsupported", 400.44, error.message)
        case DeadlineExceeded():
            return Failure("EAPITimeout", 599.1, error.message)
        case _:
            return Failure("ESys", 500.5, error.message)


def no_such(what: str, **detail: object) -> Refused:
    """There is none, or it is another workspace's."""
    return Refused(Failure("EClientNotFound", 404.41, f"No such {what}", detail))


def pre_check_failed(detail: Mapping[str, object]) -> Failure:
    """A script does not load."""
    message = "Code pre-check failed. Script raised an EXCEPTION during executing, please check your code and try again"
    return Failure("EScriptPreCheck", 599.2, message, detail)


def unreadable() -> Failure:
    """What came from a script is not what its adapter makes: it has played with it."""
    return Failure("EFuncResultParsingFailed", 599.4, "Func result is not standard JSON")


def timed_out(task_id: str) -> Failure:
    """The function was too slow, or no worker was free in time."""
    text = "billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded()"
    return Failure("EFuncTimeout", 599.31, "Calling Function timeout", {"einfoTEXT": text, "id": task_id})


def failed(execution: Execution, func_id: str, task_id: str) -> Failure:
    """Word the end of an execution that did not complete."""
    error = execution.error or ExecutionError(reason=Reason.WORKER_LOST, message="")
    if execution.state is ExecutionState.TIMEOUT:
        return timed_out(task_id)
    if error.reason is Reason.ENTRYPOINT_NOT_FOUND:
        return Failure("EClientNotFound", 404.41, "No such Func", {"funcId": func_id})
    detail = {"einfoTEXT": _einfo(execution, error), "id": task_id}
    return Failure("EFuncFailed", 599.3, "Calling Function failed", detail)


def _einfo(execution: Execution, error: ExecutionError) -> str:
    match error.reason:
        case Reason.OUT_OF_MEMORY:
            return "MemoryError: memory limit exceeded"
        case Reason.USER_EXCEPTION:
            return _raised(error)
        case Reason.OUTPUT_NOT_SERIALIZABLE:
            return f"Exception: Func Response cannot been serialized: {error.message}"
        case Reason.USER_EXIT:
            return _lost(f" exitcode {execution.exit_code}")
        case Reason.KILLED_BY_SIGNAL:
            return _lost(f" signal {execution.signal} ({signal_name(execution.signal)})")
        case Reason.WORKER_LOST:
            return _lost("")
        case _:
            return f"Exception: {error.message}"


def _raised(error: ExecutionError) -> str:
    """Return the last line of the traceback; an exception group's last line is a frame, so that one is put together."""
    line = _last_line(error.traceback)
    if line and not line.startswith("+-"):
        return line
    name = error.type if error.module in ("", "builtins", "__main__") else f"{error.module}.{error.type}"
    return _last_line(f"{name}: {error.message}" if error.message else name)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.split("\n")]
    return next((line for line in reversed(lines) if line), "")


def _lost(how: str) -> str:
    # the words of the vendor's task queue for a worker process that is gone
    return f"billiard.exceptions.WorkerLostError: Worker exited prematurely{':' if how else ''}{how}."
