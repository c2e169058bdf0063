"""The two nested envelopes of an answer: the gateway's, and in its ``content`` the function level's.

Keys are in alphabetical order at both levels, as in the vendor's document, and none that has to be there is dropped.
"""

from __future__ import annotations

import json
import re
import secrets
import string
import time
import uuid
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from polycall.errors import Code
from polycall.faces.guance.errors import Failure, GatewayError
from polycall.faces.reply import Inbound, Reply
from polycall.faces.times import iso_millis
from polycall.faces.wire import dump
from polycall.ids import now_ms
from polycall.quick import dataclass

__all__ = ["Dump", "Exchange", "is_task_id", "new_task_id"]

_ALPHABET = string.digits + string.ascii_letters
_TASK_ID_CHARS = 12
_TASK_ID = re.compile(rf"task-[0-9A-Za-z]{{{_TASK_ID_CHARS}}}")
_OK = 200
_LONGEST_DUMP, _DUMP_CHARS = 1000, 997  # a longer dump is cut to so many characters
_WIDEST_ESCAPE = len(r"\ud83d\ude00")  # one character may have been sent as so many
# Indented, JSON may be a thousand times as large: what could grow beyond this is repeated as it was sent. How deep it
# is nested is looked at where that is soon done.
_MOST_INDENTED, _MOST_LOOKED_AT = 4 << 20, 64 << 10
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]')
_DEEPEST = 1000  # that is read
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.")


# The gRPC code that is nearest to a bare answer's status; 599 is a script's own failure, which is none of ours.
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.FAILED_PRECONDITION,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
    599: Code.OK,
}


@dataclass(frozen=True, slots=True)
class Dump:
    """What an error repeats of its request: the path below the function level, and the body, None if it was empty."""

    path: str
    body: bytes | None = None
    method: str = "POST"

    @classmethod
    def of_func(cls, func_id: str, body: bytes | None) -> Dump:
        """Return that of a function's call."""
        return cls(f"/api/v1/func/{quote(func_id)}", body)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.body or b"")


def new_task_id() -> str:
    """Mint the id of a task: ``task-`` and 12 of ``[0-9A-Za-z]``."""
    return "task-" + "".join(secrets.choice(_ALPHABET) for _ in range(_TASK_ID_CHARS))


def is_task_id(text: str) -> bool:
    """Tell whether a task may have this id."""
    return _TASK_ID.fullmatch(text) is not None


class Exchange:
    """One request, and what its answer repeats of it: ids and times. ``at`` is when it came, ms since the epoch."""

    def __init__(self, inbound: Inbound) -> None:
        self.trace_id = inbound.headers.get("x-trace-id", "").strip() or f"TRACE-{str(uuid.uuid4()).upper()}"
        self.task_id = new_task_id()
        self.at = inbound.received_at
        self._begun = time.monotonic()
        self._deadline = inbound.expires_at

    def expires_at(self, seconds: float) -> float:
        """Return when a request that is given ``seconds`` is over, on the ``time.monotonic`` clock."""
        ends = self._begun + seconds
        return ends if self._deadline is None else min(ends, self._deadline)

    def value(self, content: object, page: Mapping[str, int] | None = None) -> Reply:
        """Answer HTTP 200 with any ``content``; ``page`` is what a paged list says of itself."""
        return Reply(body=self._gateway(200, content, "", "", page))

    def success(self, data: object) -> Reply:
        """Answer that the function returned; ``data`` is ``{"result": …}``, or what an asynchronous call gives."""
        return self.value(self._success(data))

    def failure(self, failure: Failure, dump: Dump) -> Reply:
        """Answer an error of the function level, which is HTTP 200."""
        return self.value(self._failure(failure, dump))

    def bare_success(self, data: object = None) -> Reply:
        """Answer in the function level's envelope alone."""
        return Reply(body=dump(self._success(data)))

    def bare_failure(self, failure: Failure, dumped: Dump) -> Reply:
        """Answer an error in the function level's envelope alone; its HTTP status is the whole part of its number."""
        status = int(failure.error)
        body = dump(self._failure(failure, dumped))
        return Reply(body=body, status=status, code=_CODES[status], message=failure.reason)

    def _success(self, data: object) -> Mapping[str, object]:
        return {"data": data, "error": _OK, "message": "", "ok": True, **self._times()}

    def _failure(self, failure: Failure, dumped: Dump) -> Mapping[str, object]:
        times = self._times()
        return {
            "detail": dict(sorted(failure.detail.items())),
            "error": failure.error,
            "message": failure.message,
            "ok": False,
            "reason": failure.reason,
            "reqCost": times.pop("reqCost"),
            "reqDump": _dump_of(dumped),
            **times,
        }

    def gateway_error(self, error: GatewayError, code: Code) -> Reply:
        """Answer an HTTP error of the gateway."""
        body = self._gateway(error.status, {}, error.error_code, error.message)
        return Reply(body=body, status=error.status, code=code, message=error.error_code)

    def _gateway(
        self, status: int, content: object, error_code: str, message: str, page: Mapping[str, int] | None = None
    ) -> bytes:
        return dump(
            {
                "code": status,
                "content": content,
                "errorCode": error_code,
                "message": message,
                **({} if page is None else {"pageInfo": page}),
                "success": status == 200,
                "traceId": self.trace_id,
            }
        )

    def _times(self) -> dict[str, object]:
        now = max(now_ms(), self.at)
        return {
            "reqCost": now - self.at,
            "reqTime": iso_millis(self.at),
            "respTime": iso_millis(now),
            "traceId": self.trace_id,
        }


def _dump_of(dumped: Dump) -> dict[str, str]:
    shown = {"method": dumped.method, "url": dumped.path}
    return shown if dumped.body is None else {"bodyDump": _body_dump(dumped.body), **shown}


def _body_dump(body: bytes) -> str:
    """Return JSON text indented, numbers as they were sent, at most about a thousand characters of it."""
    try:
        text = (msgspec.json.format(body, indent=2) if _stays_small(body) else body).decode()
    except RecursionError:  # it could be read, a few frames further up
        text = body.decode()
    length = len(text)
    if length <= _LONGEST_DUMP * _WIDEST_ESCAPE:
        text = _ESCAPE.sub(_unescape, text)
        length = len(text)
    if length <= _LONGEST_DUMP:
        return text
    return f"{text[:_DUMP_CHARS]}...\n <Length: {length}>"


def _stays_small(body: bytes) -> bool:
    """Tell whether JSON text, indented, is of a size that can be made."""
    opened = body.count(b"[") + body.count(b"{")
    lines = 2 * opened + body.count(b",") + 1
    deepest = min(opened, _DEEPEST)
    if len(body) + 2 * lines * deepest > _MOST_INDENTED and len(body) <= _MOST_LOOKED_AT:
        deepest = _depth(body)
    return len(body) + 2 * lines * deepest <= _MOST_INDENTED


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for found in _BRACKETS.finditer(body):
        if found[0] in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in (b"]", b"}"):
            depth -= 1
    return deepest


def _unescape(escape: re.Match[str]) -> str:
    return json.dumps(json.loads(f'"{escape[0]}"'), ensure_ascii=False)[1:-1]
