from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from polycall.ids import from_ulid, id_at, new_id, now_ms, to_ulid


def test_ids_are_version_7_and_sort_by_time() -> None:
    before = id_at(now_ms())
    ids = [new_id() for _ in range(3)]
    after = id_at(now_ms() + 1)
    assert [i.version for i in ids] == [7, 7, 7]
    assert all(before <= i < after for i in ids)


@given(st.uuids())
def test_a_ulid_is_the_same_128_bits(value: uuid.UUID) -> None:
    text = to_ulid(value)
    assert len(text) == 26
    assert from_ulid(text) == value
    assert from_ulid(text.lower()) == value


def test_what_is_no_ulid_is_none() -> None:
    assert [from_ulid(t) for t in ("", "x", "U" * 26, "8" + "0" * 25, "ÄÖ" * 13)] == [None] * 5
