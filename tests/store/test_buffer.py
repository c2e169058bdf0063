"""The record buffer is bounded: bodies go first, then rows, the oldest first; all is counted."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Execution, ExecutionState
from polycall.store.buffer import RecordBuffer, RecordCounts
from tests.store.examples import recorded

MIB = 1 << 20


def test_records_are_taken_oldest_first_and_found_until_they_are_written() -> None:
    buffer = RecordBuffer(rows=100, size=MIB)
    records = [recorded(alias=f"a{number}", request_id=f"r{number}") for number in range(5)]
    for record in records:
        buffer.add(record)
    assert buffer.take(2) == tuple(records[:2])
    assert len(buffer) == 3
    assert all(_found(buffer, record) for record in records)
    buffer.written()
    assert [_found(buffer, record) for record in records] == [False, False, True, True, True]
    assert buffer.take(9) == tuple(records[2:])
    buffer.put_back()
    assert buffer.take(9) == tuple(records[2:])
    buffer.written(dropped=1)
    assert not any(_found(buffer, record) for record in records)
    assert buffer.counts == RecordCounts(written=4, rows_dropped=1)


def test_only_their_own_project_finds_them() -> None:
    buffer = RecordBuffer(rows=100, size=MIB)
    record = recorded(alias="a", request_id="r")
    buffer.add(record)
    assert buffer.find("other", record.id) is None
    assert buffer.find_request("other", "r") is None
    assert buffer.find_alias("other", "guance", "a") is None
    assert buffer.find_alias("default", "riza", "a") is None


def test_an_end_takes_the_place_of_running_even_while_that_is_written() -> None:
    buffer = RecordBuffer(rows=100, size=MIB)
    end = recorded()
    running = replace(end, state=ExecutionState.RUNNING)
    buffer.add(running)
    assert buffer.take(9) == (running,)
    buffer.add(end)
    assert buffer.find("default", end.id) == end
    buffer.put_back()
    assert buffer.take(9) == (end,)
    buffer.add(replace(end, state=ExecutionState.COMPLETED))
    assert buffer.find("default", end.id) == end
    buffer.written()
    assert buffer.take(9) == ()


def test_too_many_bytes_cost_the_oldest_their_bodies_and_say_so() -> None:
    buffer = RecordBuffer(rows=100, size=MIB)
    records = [recorded(stdout=b"o" * 300_000, stderr=b"", stdout_truncated=False) for _ in range(4)]
    for record in records:
        buffer.add(record)
    bare = replace(
        records[0],
        input=None,
        result=None,
        stdout=b"",
        stdout_truncated=True,
        stderr_truncated=False,
        bodies_dropped=True,
    )
    assert buffer.take(9)[0] == bare
    buffer.put_back()
    assert [buffer.find("default", record.id) for record in records] == [bare, *records[1:]]
    assert buffer.counts == RecordCounts(bodies_dropped=1)


def test_rows_go_when_there_are_no_bodies_left() -> None:
    buffer = RecordBuffer(rows=100, size=15_000)
    records = [_bare(spec=b"s" * 3000) for _ in range(6)]  # about 4.5 kB each
    for record in records:
        buffer.add(record)
    assert [_found(buffer, record) for record in records] == [False, False, False, True, True, True]
    assert buffer.counts == RecordCounts(rows_dropped=3)


def test_too_many_rows_cost_the_oldest_rows() -> None:
    buffer = RecordBuffer(rows=3, size=MIB)
    records = [recorded(request_id=str(number)) for number in range(5)]
    for record in records:
        buffer.add(record)
    assert [_found(buffer, record) for record in records] == [False, False, True, True, True]
    assert buffer.find_request("default", "0") is None
    assert buffer.counts == RecordCounts(rows_dropped=2)


def test_what_is_being_written_is_an_eighth_of_the_bytes_at_most() -> None:
    buffer = RecordBuffer(rows=100, size=8 * MIB)
    for _ in range(6):
        buffer.add(recorded(result=b"r" * (MIB // 2)))
    assert len(buffer.take(9)) == 2


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5), st.booleans(), st.integers(0, 4000)),
            st.sampled_from([("take",), ("written",), ("put back",)]),
        ),
        max_size=60,
    )
)
def test_whatever_happens_the_buffer_counts_right_and_forgets_all_it_has_written(
    steps: list[tuple[object, ...]],
) -> None:
    buffer = RecordBuffer(rows=4, size=16_000)
    subjects = [recorded(request_id=str(number)) for number in range(6)]
    taken = False
    for step in steps:
        match step:
            case ("add", int(which), bool(final), int(size)):
                state = ExecutionState.COMPLETED if final else ExecutionState.RUNNING
                buffer.add(replace(subjects[which], state=state, result=b"r" * size))
                assert len(buffer) <= 4
            case ("take",):
                if not taken:
                    buffer.take(3)
                    taken = True
            case ("written",):
                buffer.written()
                taken = False
            case ("put back",):
                buffer.put_back()
                taken = False
    buffer.written()
    while buffer.take(100):
        buffer.written()
    assert buffer._size == 0
    assert not buffer._names
    assert not any(_found(buffer, subject) for subject in subjects)


def _bare(**changes: object) -> Execution:
    return recorded(input=None, result=None, stdout=b"", stderr=b"", error=None, face_data=None, **changes)


def _found(buffer: RecordBuffer, record: Execution) -> bool:
    found = buffer.find("default", record.id)
    if record.request_id is not None:
        assert buffer.find_request("default", record.request_id) == found
    if record.alias is not None and record.face is not None:
        assert buffer.find_alias("default", record.face, record.alias) == found
    return found is not None
