"""Filters of lists: every part that is there must match; ranges include both ends."""

from __future__ import annotations

from typing import Annotated

import msgspec

from polycall.faces.cognite.queries import DEFAULT_LIMIT, MOST, Window
from polycall.faces.cognite.requests import LARGEST_ID
from polycall.faces.wire import decode

__all__ = ["CallFilter", "FunctionFilter", "Range", "read_call_filter", "read_function_filter"]

_Time = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_ID)]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST)]


class Range(msgspec.Struct, frozen=True):
    """Between two times, ms; None: open."""

    min: _Time | None = None
    max: _Time | None = None

    @property
    def until(self) -> int | None:
        """The end of the range, itself outside of it."""
        return None if self.max is None else self.max + 1

    def holds(self, time_ms: int) -> bool:
        """Whether a time is in it."""
        return (self.min is None or time_ms >= self.min) and (self.max is None or time_ms <= self.max)


class CallFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which calls of a function are wanted."""

    status: str | None = None
    schedule_id: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_ID)] | None = None
    start_time: Range | None = None
    end_time: Range | None = None


class FunctionFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which functions are wanted."""

    name: str | None = None
    owner: str | None = None
    file_id: int | None = None
    status: str | None = None
    external_id_prefix: str | None = None
    created_time: Range | None = None
    metadata: dict[str, str] | None = None


class _FunctionsBody(msgspec.Struct):
    filter: FunctionFilter | None = None
    limit: _Limit | None = None


class _CallsBody(msgspec.Struct):
    filter: CallFilter | None = None
    limit: _Limit | None = None
    cursor: str | None = None


def read_function_filter(body: bytes) -> tuple[FunctionFilter, int]:
    """Read which functions are wanted, and how many of them. Raises Malformed."""
    form = decode(body or b"{}", _FunctionsBody)
    return form.filter or FunctionFilter(), form.limit or DEFAULT_LIMIT


def read_call_filter(body: bytes) -> tuple[CallFilter, Window]:
    """Read which calls are wanted, and which page of them. Raises Malformed."""
    form = decode(body or b"{}", _CallsBody)
    return form.filter or CallFilter(), Window(form.limit or DEFAULT_LIMIT, form.cursor or "")
