"""Times, durations, ids, page sizes and enum values: between the wire's and ours."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf import duration_pb2, timestamp_pb2

from polycall.engine.checks import check_json
from polycall.services.violations import Violations

__all__ = [
    "clean",
    "duration",
    "enum_values",
    "json_text",
    "known",
    "milliseconds",
    "moment",
    "optional_moment",
    "page_size",
    "request_id",
    "timestamp",
]

T = TypeVar("T")
M = TypeVar("M", bound=enum.Enum)

DEFAULT_PAGE, LARGEST_PAGE = 50, 1000
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # years 1 to 9999 (timestamp.proto)


def enum_values(wire: Any, prefix: str, members: Iterable[M]) -> dict[M, Any]:
    """Return the values of a protobuf enum by our members; ours are named alike, without the prefix."""
    return {member: wire.Value(f"{prefix}_{member.name}") for member in members}


def timestamp(ms: int | None) -> dict[str, int] | None:
    """Render a time as the fields of a Timestamp, which cost less than the message; None stays absent."""
    if ms is None:
        return None
    return {"seconds": ms // 1000, "nanos": ms % 1000 * 1_000_000}


def duration(us: int | None) -> dict[str, int] | None:
    """Render microseconds as the fields of a Duration; None stays absent."""
    if us is None:
        return None
    return {"seconds": us // 1_000_000, "nanos": us % 1_000_000 * 1000}


def clean(text: str) -> str:
    """Return a text that protobuf takes: no lone surrogates."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def milliseconds(value: duration_pb2.Duration) -> int:
    """Read a duration, rounded up to the millisecond: what was asked for is granted in full."""
    return value.seconds * 1000 - (-value.nanos // 1_000_000)


def moment(value: timestamp_pb2.Timestamp, field: str, wrong: Violations) -> int:
    """Read a time as milliseconds since the epoch, rounded up."""
    if not _FIRST_SECOND <= value.seconds <= _LAST_SECOND or not 0 <= value.nanos < 1_000_000_000:
        wrong.add(field, "must be a time of the years 1 to 9999")
        return 0
    return value.seconds * 1000 - (-value.nanos // 1_000_000)


def optional_moment(present: bool, value: timestamp_pb2.Timestamp, field: str, wrong: Violations) -> int | None:
    """Read a time that may be absent."""
    return moment(value, field, wrong) if present else None


def page_size(asked: int, wrong: Violations) -> int:
    """Return how many items a page has: 50 if not set, 1000 at most (AIP-158)."""
    if asked < 0:
        wrong.add("page_size", "must not be negative")
    return min(asked, LARGEST_PAGE) if asked > 0 else DEFAULT_PAGE


def request_id(text: str, wrong: Violations) -> str | None:
    """Return a request id in its canonical spelling; None if not set."""
    if text and not _UUID.fullmatch(text):
        wrong.add("request_id", "must be a UUID such as 0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f")
    return text.lower() or None


def json_text(text: str, field: str, wrong: Violations) -> bytes:
    """Return JSON text as it is; notes a violation if it is not one JSON value."""
    data = text.encode()
    wrong.attempt(lambda: check_json(data, field))
    return data


def known(value: int, meanings: Mapping[int, T], default: T, field: str, wrong: Violations) -> T:
    """Return what an enum value means; 0 is the default, and a value that this server does not know is a violation."""
    if value == 0:
        return default
    if value not in meanings:
        wrong.add(field, f"{value} is not a value that this server knows")
        return default
    return meanings[value]
