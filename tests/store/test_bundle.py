"""One encoding and one digest for a set of files."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.bundle import bundle_digest, pack_bundle, unpack_bundle

FILES = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.binary(), max_size=5)


@given(FILES)
def test_what_is_packed_is_unpacked(files: dict[str, bytes]) -> None:
    assert unpack_bundle(pack_bundle(files)) == files
    assert bundle_digest(files) == hashlib.sha256(pack_bundle(files)).hexdigest()


@given(FILES, FILES)
def test_only_the_same_files_have_the_same_encoding(files: dict[str, bytes], others: dict[str, bytes]) -> None:
    assert (pack_bundle(files) == pack_bundle(others)) == (files == others)


def test_the_order_of_files_does_not_count() -> None:
    assert bundle_digest({"b": b"2", "a": b"1"}) == bundle_digest({"a": b"1", "b": b"2"})


def test_the_encoding_stays_what_it_is() -> None:
    packed = b"polycall bundle 1\n" + bytes([0, 0, 0, 1, *[0] * 7, 2]) + b"a" + b"xy"
    assert pack_bundle({"a": b"xy"}) == packed


@pytest.mark.parametrize("cut", range(1, 15))
def test_what_is_cut_off_is_no_bundle(cut: int) -> None:
    with pytest.raises(ValueError, match="bundle"):
        unpack_bundle(pack_bundle({"a": b"xy"})[:-cut])


def test_other_bytes_are_no_bundle() -> None:
    with pytest.raises(ValueError, match="not a bundle"):
        unpack_bundle(b"{}")
