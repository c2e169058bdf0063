"""An execution as the vendor shows it afterwards: how it went, and its request and answer."""

from __future__ import annotations

import msgspec

from polycall.domain import Execution
from polycall.faces.riza.records import Record
from polycall.faces.riza.results import ExecutionResult, FunctionResult, duration_ms, exit_code_of
from polycall.faces.times import iso_millis
from polycall.ids import to_ulid

__all__ = ["ExecutionBody"]


class _Details(msgspec.Struct, omit_defaults=True):
    type: str
    tool_id: str | None = None
    request: msgspec.Raw = msgspec.Raw(b"{}")
    response: ExecutionResult | FunctionResult | None = None


class ExecutionBody(msgspec.Struct, omit_defaults=True):
    """The vendor's Execution. ``started_at`` is RFC 3339, ``duration`` milliseconds."""

    id: str
    duration: int
    exit_code: int
    language: str
    started_at: str
    details: _Details | None = None

    @classmethod
    def of(cls, execution: Execution, record: Record | None) -> ExecutionBody:
        """Show an execution that has ended; without ``details`` if its request is not known any more."""
        return cls(
            id=to_ulid(execution.id),
            duration=duration_ms(execution),
            exit_code=exit_code_of(execution),
            language=execution.language.value,
            started_at=iso_millis(execution.started_at or execution.queued_at),
            details=None if record is None else _details(execution, record),
        )


def _details(execution: Execution, record: Record) -> _Details:
    script = record.type == "script"
    return _Details(
        type=record.type,
        tool_id=record.tool_id,
        request=msgspec.Raw(record.request),
        response=ExecutionResult.of(execution) if script else FunctionResult.of(execution),
    )
