from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polycall.engine.recent import Recent


def test_what_was_used_longest_ago_goes_first() -> None:
    recent: Recent[str, bytes] = Recent(10, len)
    recent.put("a", b"1234")
    recent.put("b", b"1234")
    assert recent.get("a") == b"1234"
    recent.put("c", b"1234")
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (b"1234", None, b"1234")


def test_the_newest_stays_whatever_its_size() -> None:
    recent: Recent[str, bytes] = Recent(3, len)
    recent.put("a", b"1")
    recent.put("b", b"12345")
    assert (len(recent), recent.get("b")) == (1, b"12345")
    recent.put("c", b"1")
    assert (len(recent), recent.get("c")) == (1, b"1")


def test_a_value_takes_the_place_of_an_earlier_one() -> None:
    recent: Recent[str, bytes] = Recent(8, len)
    for size in (8, 2, 6):
        recent.put("a", b"x" * size)
    recent.put("b", b"xx")
    assert (recent.get("a"), recent.get("b")) == (b"x" * 6, b"xx")


def test_keys_are_forgotten_by_what_they_are() -> None:
    recent: Recent[tuple[str, int], bytes] = Recent(100, len)
    for number in range(4):
        recent.put(("a" if number % 2 else "b", number), b"x")
    recent.drop_where(lambda key: key[0] == "a")
    recent.drop(("b", 0))
    recent.drop(("b", 0))
    assert (len(recent), recent.get(("b", 2))) == (1, b"x")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40))))
def test_it_never_holds_more_than_it_may(steps: list[tuple[int, int]]) -> None:
    recent: Recent[int, bytes] = Recent(50, len)
    for key, size in steps:
        recent.put(key, bytes(size))
        kept = [value for key in range(6) if (value := recent.get(key)) is not None]
        assert recent._size == sum(map(len, kept))
        assert sum(map(len, kept)) <= 50
