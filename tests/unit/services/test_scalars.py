"""polycall.services.scalars."""

from __future__ import annotations

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from polycall.errors import FieldViolation, InvalidArgument, LimitOutOfRange
from polycall.services.scalars import (
    clean,
    duration,
    json_text,
    known,
    milliseconds,
    moment,
    page_size,
    request_id,
    timestamp,
)
from polycall.services.violations import Violations, below

MOMENTS = st.integers(-62_135_596_800_000, 253_402_300_799_999)


@given(MOMENTS)
def test_a_time_comes_back_as_it_was(ms: int) -> None:
    wrong = Violations()
    fields = timestamp(ms)
    assert fields is not None
    message = timestamp_pb2.Timestamp(**fields)
    assert 0 <= message.nanos < 1_000_000_000
    assert moment(message, "t", wrong) == ms
    assert not wrong


@given(st.integers(0, 10**15))
def test_a_duration_comes_back_to_the_millisecond_above(us: int) -> None:
    fields = duration(us)
    assert fields is not None
    assert milliseconds(duration_pb2.Duration(**fields)) == -(-us // 1000)


def test_what_is_absent_stays_absent() -> None:
    assert (timestamp(None), duration(None)) == (None, None)


def test_a_negative_duration_stays_negative() -> None:
    assert milliseconds(duration_pb2.Duration(seconds=-1, nanos=-500_000_000)) == -1500


@pytest.mark.parametrize(
    "message",
    [
        timestamp_pb2.Timestamp(seconds=253_402_300_800),
        timestamp_pb2.Timestamp(seconds=-62_135_596_801),
        timestamp_pb2.Timestamp(nanos=-1),
        timestamp_pb2.Timestamp(nanos=1_000_000_000),
    ],
)
def test_a_time_out_of_range_is_a_violation(message: timestamp_pb2.Timestamp) -> None:
    wrong = Violations()
    moment(message, "deadline", wrong)
    assert wrong.error().violations == (FieldViolation("deadline", "must be a time of the years 1 to 9999"),)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_has_50_items_or_what_is_asked_up_to_1000(asked: int, size: int) -> None:
    wrong = Violations()
    assert page_size(asked, wrong) == size
    assert not wrong


def test_a_negative_page_size_is_a_violation() -> None:
    wrong = Violations()
    page_size(-1, wrong)
    assert wrong.error().violations == (FieldViolation("page_size", "must not be negative"),)


def test_a_request_id_is_a_uuid_in_one_spelling() -> None:
    wrong = Violations()
    assert request_id("0198C2D4-7F1E-7CC3-98C4-DC0C0C07398F", wrong) == "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"
    assert request_id("", wrong) is None
    assert not wrong
    for text in ("1", "{0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f}", "0198c2d47f1e7cc398c4dc0c0c07398f", "x" * 36):
        request_id(text, wrong)
    assert len(wrong.error().violations) == 4


def test_json_text_is_checked_and_left_alone() -> None:
    wrong = Violations()
    text = '{"n": 9007199254740993, "x": 1.0, "n": 1}'
    assert json_text(text, "f", wrong) == text.encode()
    assert not wrong
    json_text("{", "f", wrong)
    json_text("[" * 100_000, "g", wrong)
    assert [v.field for v in wrong.error().violations] == ["f", "g"]


def test_an_enum_value_is_known_or_a_violation() -> None:
    wrong = Violations()
    assert known(0, {1: "a"}, "default", "f", wrong) == "default"
    assert known(1, {1: "a"}, "default", "f", wrong) == "a"
    assert not wrong
    known(7, {1: "a"}, "default", "f", wrong)
    assert wrong.error().violations == (FieldViolation("f", "7 is not a value that this server knows"),)


@given(st.text(st.characters()))
def test_clean_text_can_be_sent(text: str) -> None:
    assert clean(text).encode().decode() == clean(text)
    assert len(clean(text)) == len(text)


def test_fields_of_an_inner_request_are_named_from_the_outer_one() -> None:
    with pytest.raises(LimitOutOfRange) as caught, below("execute"):
        raise LimitOutOfRange([FieldViolation("limits.timeout", "x"), FieldViolation("", "y")])
    assert caught.value.violations == (FieldViolation("execute.limits.timeout", "x"), FieldViolation("execute", "y"))


def test_violations_are_collected() -> None:
    def fail() -> int:
        raise InvalidArgument.of("b", "2")

    wrong = Violations()
    wrong.refuse()
    wrong.add("a", "1")
    assert wrong.attempt(fail) is None
    assert wrong.attempt(lambda: 3) == 3
    with pytest.raises(InvalidArgument) as caught:
        wrong.refuse()
    assert caught.value.message == "a: 1; b: 2"
