"""Page tokens are opaque, of one list, and hold nothing that could hurt."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.errors import InvalidArgument
from polycall.store import packages, versions
from polycall.store.paging import page_of, read_token

SCOPE = ("list", "default")


def _forged(text: bytes) -> str:
    """Return a token as somebody makes it who has read the source."""
    check = hashlib.sha256(repr(SCOPE).encode() + b"\0" + text).digest()[:8]
    return base64.urlsafe_b64encode(check + text).decode().rstrip("=")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_a_token_leads_back_to_its_place(place: str) -> None:
    page = page_of(SCOPE, [(place, 1), ("next", 2)], 1)
    assert page.items == (1,)
    assert read_token(SCOPE, page.next_token, str) == place


def test_the_last_page_has_no_token_and_no_token_is_the_first_page() -> None:
    assert page_of(SCOPE, [("a", 1)], 1).next_token == ""
    assert page_of(SCOPE, [], 1).items == ()
    assert read_token(SCOPE, "", str) is None


@given(st.text(max_size=50))
def test_other_text_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidArgument):
            read_token(SCOPE, token, str)


@pytest.mark.parametrize("place", [packages.Place(5, "a b"), versions.Place(5, 6)])
def test_places_are_read_as_they_were_written(place: packages.Place | versions.Place) -> None:
    assert read_token(SCOPE, _forged(str(place).encode()), type(place).parse) == place


@pytest.mark.parametrize("text", [b"", b"1", b"x y", b"-1 1", b"9223372036854775808 1", b"1 x", b"1 -1", b"\xff 1"])
def test_forged_places_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read_token(SCOPE, _forged(text), versions.Place.parse)
    assert [violation.field for violation in raised.value.violations] == ["page_token"]
