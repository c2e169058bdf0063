"""JSON and encodings as every face reads them."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.errors import InvalidArgument, PayloadTooLarge
from polycall.faces.wire import Malformed, UnsupportedEncoding, decode, dump, gunzip, present, raw_members

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _JSON), st.booleans())
def test_members_come_apart_and_together_untouched(value: dict[str, Any], ascii_only: bool) -> None:
    members = {name: json.dumps(member, ensure_ascii=ascii_only) for name, member in value.items()}
    text = "{" + ",".join(f"{json.dumps(name)}: {member} " for name, member in members.items()) + "}"
    split = raw_members(text.encode())
    assert {name: bytes(raw).decode() for name, raw in split.items()} == members
    assert list(split) == list(value)
    assert json.loads(dump(split)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_malformed(body: bytes) -> None:
    try:
        value = decode(body, msgspec.Raw)
    except Malformed:
        return
    json.loads(bytes(value))


@pytest.mark.parametrize(
    ("body", "shape", "message"),
    [
        (b"", dict[str, int], "the body is empty; it has to be JSON"),
        (b" \n", dict[str, int], "the body is empty; it has to be JSON"),
        (b"{", dict[str, int], "the body is not valid JSON: it ends too early"),
        (b"{]", dict[str, int], "the body is not valid JSON: object keys must be strings (byte 1)"),
        (b"[]", dict[str, int], "the body has the wrong shape: Expected `object`, got `array`"),
        (b'{"a":"x"}', dict[str, int], "[...]: Expected `int`, got `str`"),
        (b'"\xff"', str, "the body is not valid UTF-8"),
        (b'{"a":"\xff"}', dict[str, msgspec.Raw], "the body is not valid UTF-8"),
        (b"[" * 100_000, msgspec.Raw, "the body is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_without_quoting_the_body(body: bytes, shape: Any, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(body, shape)
    assert caught.value.message == message


def test_absent_and_null_are_the_same() -> None:
    assert present(msgspec.UNSET) is None
    assert present(None) is None
    assert present(msgspec.Raw(b"null")) is None
    assert present(msgspec.Raw(b"0")) == b"0"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("", bytes),
        ("identity", bytes),
        (" GZip ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
def test_a_body_is_unpacked_up_to_its_limit(encoding: str, pack: Any) -> None:
    assert gunzip(pack(b"x" * 100), encoding, 100) == b"x" * 100
    with pytest.raises(PayloadTooLarge):
        gunzip(pack(b"x" * 101), encoding, 100)


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        (b"x", "br", UnsupportedEncoding),
        (b"x", "gzip, gzip", UnsupportedEncoding),
        (b"x", "gzip", Malformed),
        (b"", "gzip", Malformed),
        (gzip.compress(b"x")[:-1], "gzip", Malformed),
        (gzip.compress(b"x") + b"y", "gzip", Malformed),
        (gzip.compress(b"x") * 2, "gzip", Malformed),
    ],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, encoding: str, error: type[InvalidArgument]) -> None:
    with pytest.raises(error):
        gunzip(body, encoding, 100)


def test_members_are_counted_before_there_are_too_many() -> None:
    def of(count: int) -> bytes:
        return b"{" + b",".join(b'"%07d":[1.0]' % number for number in range(count)) + b"}"

    members = raw_members(of(100_000))
    assert (len(members), members["0099999"], dump(members)) == (100_000, msgspec.Raw(b"[1.0]"), of(100_000))
    with pytest.raises(Malformed, match="more than 100000 members"):
        raw_members(of(100_001))
    nested = b'{"a":' + of(100_001) + b"}"  # what the code is given is its own affair
    assert raw_members(nested) == {"a": msgspec.Raw(of(100_001))}
