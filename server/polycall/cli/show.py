"""Messages as people and machines read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from polycall.cli.exits import Exit, exit_of
from polycall.cli.terminal import say

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from polycall.v1.execution_pb2 import Execution, Limits

__all__ = ["elapsed", "execution_exit", "failure_line", "limits_line", "moment", "print_json", "word", "words"]


def print_json(message: Message, *, indent: int | None = 2) -> None:
    """Print the protobuf JSON of a message; user payloads are JSON text in strings, as they were given."""
    from google.protobuf.json_format import MessageToJson

    say(MessageToJson(message, ensure_ascii=False, indent=indent))


def word(message: Message, field: str) -> str:
    """Return an enum field in one word, without its type's prefix: ``COMPLETED``; "" if it is not set."""
    return words(message, field, [getattr(message, field)])


def words(message: Message, field: str, numbers: Sequence[int]) -> str:
    """Return values of an enum field in words, without their type's prefix, separated by commas."""
    enum: Any = message.DESCRIPTOR.fields_by_name[field].enum_type
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = [
        enum.values_by_number[n].name.removeprefix(prefix) if n in enum.values_by_number else str(n) for n in numbers
    ]
    return ", ".join(name for name in names if name != "UNSPECIFIED")


def execution_exit(execution: Execution) -> Exit:
    """Return the exit code that an execution means."""
    return exit_of(word(execution, "state"), word(execution.error, "reason"))


def failure_line(execution: Execution) -> str:
    """Return in one line why an execution did not complete; "" if it did."""
    error = execution.error
    message = error.message.strip().partition("\n")[0]
    if error.type:
        return f"{error.type}: {message}" if message else error.type
    reason = word(error, "reason")
    return f"{reason}: {message}" if reason and message else reason or message


def elapsed(duration: Duration) -> str:
    """Return a duration as people say it: ``840 µs``, ``1.3 ms``, ``2.05 s``, ``3 min 5 s``."""
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def moment(timestamp: Timestamp) -> str:
    """Return a time in this machine's zone, to the second; "" if it is not set."""
    if not timestamp.seconds:
        return ""
    return datetime.fromtimestamp(timestamp.seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def limits_line(limits: Limits) -> str:
    """Return those limits that are set, as ``timeout 30 s, memory_mib 128``."""
    shown: list[str] = []
    for field, value in limits.ListFields():
        text = f"{value.ToTimedelta().total_seconds():g} s" if field.message_type is not None else str(value)
        shown.append(f"{field.name} {text}")
    return ", ".join(shown)
