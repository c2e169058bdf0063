"""Tables fit the screen, and never let a cell talk to the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polycall.cli.table import _width, render_table
from polycall.cli.terminal import printable


def lines(rows: list[list[str]], width: int | None) -> list[str]:
    return ["".join(row).rstrip() for row in render_table(rows, width)]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert lines([["NAME", "STATE"], ["a", "READY"], ["longer", "ERROR"]], None) == [
        "NAME    STATE",
        "a       READY",
        "longer  ERROR",
    ]


def test_on_a_screen_the_widest_column_is_cut() -> None:
    assert lines([["NAME", "WHY"], ["short", "something long went wrong"]], 24) == [
        "NAME   WHY",
        "short  something long w…",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert lines([["N", "S"], ["日本", "x"], ["abcd", "y"]], None) == ["N     S", "日本  x", "abcd  y"]


def test_control_characters_are_spelled_out() -> None:
    assert lines([["A", "B"], ["\x1b[2J\x9b", "two\nlines"]], None) == [
        "A            B",
        r"\x1b[2J\x9b  two lines",
    ]
    assert printable("a\tb\r\nc\rd") == "a\tb\nc\\x0dd"
    assert printable("safe\u202eexe.txt\u2066") == "safe\\u202eexe.txt\\u2066"


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(st.text(max_size=60), min_size=n, max_size=n), min_size=1)),
    st.integers(40, 120),
)
def test_every_row_fits_the_screen_and_no_cell_is_lost(rows: list[list[str]], width: int) -> None:
    rendered = render_table(rows, width)
    assert [len(row) for row in rendered] == [len(row) for row in rows]
    for row in rendered:
        assert _width("".join(row)) <= width
        assert printable("".join(row)) == "".join(row)
