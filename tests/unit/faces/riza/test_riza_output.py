from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.faces.riza.output import Text

_MIB = 1 << 20


def _read(text: Text) -> str:
    value: str = json.loads(bytes(text.json))
    return value


@given(st.binary(max_size=200))
def test_output_is_its_text_with_a_mark_for_what_is_none(data: bytes) -> None:
    text = Text.of(data, _MIB)
    assert _read(text) == data.decode(errors="replace")
    assert (text.cut, text.open_line) == (False, bool(data) and not data.endswith(b"\n"))


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("unit", ["😀", "é", "€\n"])
def test_characters_are_whole_across_the_pieces_it_is_made_of(unit: str, shift: int) -> None:
    data = b"." * shift + unit.encode() * 200_000 + unit.encode()[:-1]
    text = Text.of(data, 8 * _MIB)
    assert _read(text) == data.decode(errors="replace")
    assert text.cut is False


@given(st.text(alphabet="a\n\0é\ufffd", max_size=50), st.lists(st.sampled_from(["x", "é", ""]), max_size=2))
def test_lines_stand_on_lines_of_their_own(printed: str, lines: list[str]) -> None:
    text = Text.of(printed.encode(), _MIB)
    between = "\n" if lines and printed and not printed.endswith("\n") else ""
    added = "".join(f"{line}\n" for line in lines)
    assert json.loads(bytes(text.with_lines(lines))) == printed + between + added


@pytest.mark.parametrize("unit", [b"a", b"\n", b"\0", b"\xff", b"\0" * 1000 + b"a" * 9000])
def test_what_goes_over_the_wire_is_bounded(unit: bytes) -> None:
    data = (unit * (4 * _MIB // len(unit) + 1))[: 4 * _MIB]
    text = Text.of(data, 2 * _MIB)
    assert text.cut is True
    assert _MIB <= len(bytes(text.json)) <= 2 * _MIB
    assert data.decode(errors="replace").startswith(_read(text))
