from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from polycall.faces.xpander.bodies import read_members
from polycall.faces.xpander.problems import Unprocessable


def _refusal(body: bytes) -> dict[str, Any]:
    with pytest.raises(Unprocessable) as caught:
        read_members(body)
    (problem,) = caught.value.problems
    shown: dict[str, Any] = json.loads(msgspec.json.encode(problem))
    return shown


def test_members_keep_their_order_and_their_bytes() -> None:
    members = read_members(b' {"b": 1.0 , "a": {"y": 1,  "x": 9007199254740993}, "c":null} ')
    assert [(name, bytes(value)) for name, value in members.items()] == [
        ("b", b"1.0"),
        ("a", b'{"y": 1,  "x": 9007199254740993}'),
        ("c", b"null"),
    ]


def test_no_body_has_no_members() -> None:
    assert read_members(b"") == {}


def test_the_contracts_example_of_bad_json() -> None:
    assert _refusal(b"{city: 1}") == {
        "type": "json_invalid",
        "loc": ["body", 1],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": "Expecting property name enclosed in double quotes"},
    }


@pytest.mark.parametrize(
    ("body", "position", "why"),
    [
        (b"{", 1, "Expecting property name enclosed in double quotes"),
        (b"{'a': 1}", 1, "Expecting property name enclosed in double quotes"),
        (b" ", 1, "Expecting value"),
        (b"nope", 0, "Expecting value"),
        (b'{"a": }', 6, "Expecting value"),
        (b'{"a": 1 "b": 2}', 8, "Expecting ',' delimiter"),
        (b'{"a" 1}', 5, "Expecting ':' delimiter"),
        (b'{"a": 1} x', 9, "Extra data"),
        ('{"ä": 1} x'.encode(), 9, "Extra data"),
        (b'{"a": "x', 6, "Unterminated string starting at"),
        (b'{"a": "\n"}', 7, "Invalid control character at"),
        (b'{"a": "\\x"}', 7, "Invalid \\escape"),
        (b"\xef\xbb\xbf{}", 0, "Unexpected UTF-8 BOM (decode using utf-8-sig)"),
        (b'{"a": NaN}', 6, "the body is not valid JSON: invalid character"),
        ('{"ä": -Infinity}'.encode(), 7, "the body is not valid JSON: invalid character"),
        (b'{"a": "\xff"}', 7, "'utf-8' codec can't decode byte 0xff in position 7: invalid start byte"),
        ('{"ä": "'.encode() + b"\xc3", 7, "'utf-8' codec can't decode byte 0xc3 in position 8: unexpected end of data"),
    ],
)
def test_bad_json_is_explained_as_python_does(body: bytes, position: int, why: str) -> None:
    assert _refusal(body) == {
        "type": "json_invalid",
        "loc": ["body", position],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": why},
    }


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[" * 3000])
def test_what_python_would_take_and_json_does_not_is_bad_json(body: bytes) -> None:
    refused = _refusal(body)
    assert (refused["type"], refused["loc"][0]) == ("json_invalid", "body")
    assert isinstance(refused["loc"][1], int)
    assert refused["ctx"]["error"]


def test_a_large_body_is_refused_without_the_slow_words() -> None:
    refused = _refusal(b'{"a": "' + b"x" * (1 << 20) + b'" x}')
    assert (refused["loc"], refused["type"]) == (["body", 1048585], "json_invalid")


@pytest.mark.parametrize("body", [b"[1]", b"42", b'"x"', b"null", b"true", b" [1, 2.0] "])
def test_a_body_must_be_an_object(body: bytes) -> None:
    assert _refusal(body) == {
        "type": "dict_type",
        "loc": ["body"],
        "msg": "Input should be a valid dictionary",
        "input": json.loads(body),
    }
