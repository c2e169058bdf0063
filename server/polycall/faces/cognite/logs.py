"""The lines a call wrote, as the vendor's log entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from polycall.domain import Execution, OutputChunk, Stream
from polycall.quick import dataclass

__all__ = ["LogEntry", "log_entries"]

# An answer is made in memory; a million empty lines would make a hundred times their size. The last ones say most.
_MOST_ENTRIES = 50_000

_Arrived = tuple[Stream, int, bytearray]  # when its end arrived, ms; its bytes


class LogEntry(msgspec.Struct):
    """One line of stdout or stderr; ``timestamp`` in ms is when its end arrived."""

    timestamp: int
    message: str


@dataclass(frozen=True, slots=True)
class _Line:
    stream: Stream
    time_ms: int
    text: str


def log_entries(chunks: Sequence[OutputChunk], execution: Execution) -> list[LogEntry]:
    """Return an entry a line in the order in which they ended, the traceback's last.

    A line that has not ended yet is shown as far as it goes. What was cut or left out is said in an entry of its own.
    """
    last: deque[_Arrived] = deque(maxlen=_MOST_ENTRIES)
    total = 0
    for arrived in _lines(chunks):
        last.append(arrived)
        total += 1
    lines = [_Line(stream, time_ms, _text(data)) for stream, time_ms, data in last]
    ended_at = execution.ended_at or execution.queued_at
    trace = _trace_of(execution)
    entries = [LogEntry(line.time_ms, line.text) for line in _without_trace(lines, trace)]
    entries += [LogEntry(ended_at, text) for text in trace]
    notes = [
        f"[{stream} was cut at its limit]"
        for stream, cut in ((Stream.STDOUT, execution.stdout_truncated), (Stream.STDERR, execution.stderr_truncated))
        if cut
    ]
    if total > len(lines):
        notes.append(f"[{total - len(lines)} earlier lines are left out]")
    at = entries[0].timestamp if entries else ended_at
    return [*(LogEntry(at, note) for note in notes), *entries]


def _lines(chunks: Iterable[OutputChunk]) -> Iterable[_Arrived]:
    unended: dict[Stream, tuple[int, bytearray]] = {}
    for chunk in chunks:
        _, line = unended.pop(chunk.stream, (0, bytearray()))
        line += chunk.data
        if b"\n" in chunk.data:
            *ended, line = line.split(b"\n")
            for data in ended:
                yield chunk.stream, chunk.time_ms, data
        if line:
            unended[chunk.stream] = (chunk.time_ms, line)
    for stream in (Stream.STDOUT, Stream.STDERR):
        if stream in unended:
            yield stream, *unended[stream]


def _text(line: bytearray) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")


def _trace_of(execution: Execution) -> list[str]:
    text = execution.error.traceback.removesuffix("\n") if execution.error else ""
    return text.split("\n") if text else []


def _without_trace(lines: list[_Line], trace: list[str]) -> list[_Line]:
    """Drop the traceback that stderr ends with: what stdout wrote may have arrived after it."""
    on_stderr = [index for index, line in enumerate(lines) if line.stream is Stream.STDERR]
    tail = set(on_stderr[len(on_stderr) - len(trace) :] if trace else [])
    if [line.text for index, line in enumerate(lines) if index in tail] != trace:
        return lines
    return [line for index, line in enumerate(lines) if index not in tail]
