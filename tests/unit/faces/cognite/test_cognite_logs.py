from __future__ import annotations

import uuid
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import (
    Execution,
    ExecutionError,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Reason,
    Stream,
)
from polycall.faces.cognite.logs import log_entries

_TRACE = 'Traceback (most recent call last):\n  File "handler.py", line 1, in <module>\nValueError: no\n'


def _execution(traceback: str = "", **changes: Any) -> Execution:
    given: dict[str, Any] = {
        "id": uuid.UUID(int=1),
        "project_id": "default",
        "kind": ExecutionKind.CALL,
        "state": ExecutionState.FAILED if traceback else ExecutionState.COMPLETED,
        "queued_at": 1000,
        "ended_at": 2000,
    }
    if traceback:
        given["error"] = ExecutionError(reason=Reason.USER_EXCEPTION, message="no", traceback=traceback)
    return Execution(**given | changes)


def _out(data: bytes, at: int = 1500) -> OutputChunk:
    return OutputChunk(Stream.STDOUT, at, data)


def _err(data: bytes, at: int = 1500) -> OutputChunk:
    return OutputChunk(Stream.STDERR, at, data)


def _pairs(chunks: list[OutputChunk], execution: Execution | None = None) -> list[tuple[int, str]]:
    return [(entry.timestamp, entry.message) for entry in log_entries(chunks, execution or _execution())]


def _messages(chunks: list[OutputChunk], execution: Execution | None = None) -> list[str]:
    return [message for _, message in _pairs(chunks, execution)]


def test_a_call_that_wrote_nothing_has_no_entries() -> None:
    assert log_entries([], _execution()) == []


def test_every_line_is_an_entry_with_the_time_it_ended() -> None:
    chunks = [_out(b"one\ntwo\nthr", 1), _err(b"warning\n", 2), _out(b"ee\n\n", 3)]
    assert _pairs(chunks) == [(1, "one"), (1, "two"), (2, "warning"), (3, "three"), (3, "")]


def test_lines_that_have_not_ended_are_shown_stderr_last() -> None:
    assert _messages([_err(b"half err"), _out(b"half out")]) == ["half out", "half err"]


def test_a_character_may_be_split_and_bytes_may_be_no_text() -> None:
    assert _messages([_out(b"caf\xc3"), _out(b"\xa9 \xff\n")]) == ["café \ufffd"]


def test_a_carriage_return_before_the_end_is_not_part_of_a_line() -> None:
    assert _messages([_out(b"one\r\n10%\r20%\r\n")]) == ["one", "10%\r20%"]


def test_the_traceback_comes_last_though_stdout_arrived_after_it() -> None:
    trace = _TRACE.rstrip().split("\n")
    chunks = [_err(b"warning\n" + _TRACE.encode()), _out(b"printed\n")]
    assert _messages(chunks, _execution(_TRACE)) == ["warning", "printed", *trace]


def test_the_traceback_is_there_though_stderr_was_cut_before_it() -> None:
    trace = _TRACE.rstrip().split("\n")
    messages = _messages([_err(b"xxxx")], _execution(_TRACE, stderr_truncated=True))
    assert messages == ["[stderr was cut at its limit]", "xxxx", *trace]


def test_a_line_like_the_traceback_stays_if_it_is_not_at_the_end() -> None:
    chunks = [_err(b"ValueError: no\n" + _TRACE.encode())]
    assert _messages(chunks, _execution(_TRACE)) == ["ValueError: no", *_TRACE.rstrip().split("\n")]


def test_so_many_lines_that_an_answer_could_not_hold_them_lose_the_first() -> None:
    messages = _messages([_out(b"first\n" + b"\n" * 60_000 + b"last\n")])
    assert len(messages) == 50_001
    assert (messages[0], messages[-1]) == ("[10002 earlier lines are left out]", "last")


def test_one_line_in_a_million_pieces_is_put_together_quickly() -> None:
    assert _messages([_out(b"a")] * 200_000) == ["a" * 200_000]


@given(st.binary(), st.lists(st.integers(min_value=0, max_value=100)))
def test_the_lines_do_not_depend_on_how_they_arrived(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [_out(data[start:end]) for start, end in pairwise(edges)]
    lines = data.split(b"\n")
    expected = lines if lines[-1] else lines[:-1]
    assert _messages(pieces) == [line.removesuffix(b"\r").decode(errors="replace") for line in expected]
