from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.engine.limits import MIB
from polycall.errors import InvalidArgument, PayloadTooLarge
from polycall.faces.cognite.requests import (
    BODY_LIMIT,
    Reference,
    UnknownRoute,
    parse_id,
    read_asked_calls,
    read_asked_functions,
    read_call,
    read_session,
)
from polycall.faces.wire import Malformed

_RAW = b'{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}'


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("text", ["1", "42", "9007199254740991"])
def test_an_id_is_an_integer_that_every_json_reader_keeps(text: str) -> None:
    assert parse_id(text, "functionId") == int(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "1 ", "1\n", "abc", "٣", "1_0", "9007199254740992", "9" * 99],
)
def test_anything_else_is_no_id(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_id(text, "functionId")
    assert caught.value.message == "functionId: must be an integer from 1 to 9007199254740991"


@given(st.text())
def test_no_text_is_an_id_but_the_one_spelling_of_its_number(text: str) -> None:
    try:
        number = parse_id(text, "functionId")
    except (InvalidArgument, UnknownRoute):
        return
    assert text == str(number)


@pytest.mark.parametrize("word", ["list", "byids", "delete", "limits", "status", "schedules"])
def test_a_word_of_the_contract_is_a_route_and_no_id(word: str) -> None:
    with pytest.raises(UnknownRoute):
        parse_id(word, "functionId")


def test_data_keeps_its_bytes() -> None:
    form = read_call(b'{"nonce":"n","later":[1],"data": %s }' % _RAW)
    assert (form.data, form.nonce) == (_RAW, "n")


@pytest.mark.parametrize("body", [b'{"nonce":"n"}', b'{"nonce":"n","data":null}', b'{"nonce":"n","data":{}}'])
def test_no_data_is_an_empty_object(body: bytes) -> None:
    assert read_call(body).data == b"{}"


@pytest.mark.parametrize("data", ["[]", "1", '"x"', "true", "false", "0"])
def test_data_is_an_object(data: str) -> None:
    with pytest.raises(Malformed, match="data: must be an object"):
        read_call(f'{{"nonce":"n","data":{data}}}'.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"'",
        b"{}",
        b'{"data":{}}',
        b'{"nonce":null}',
        b'{"nonce":1}',
        b'{"nonce":["n"]}',
        b'{"nonce":"n",}',
        b'{"nonce":"n"} x',
        b'{"nonce":"n","data":{"x":NaN}}',
        b'{"nonce":"n","data":{"x":01}}',
        b'{"nonce":"\xff"}',
        b'{"nonce":"n","data":{"x":"\xc3\x28"}}',
        pytest.param(b'{"nonce":"n","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, id="deep"),
    ],
)
def test_a_body_that_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_call(body)


def test_data_may_have_nine_megabytes_and_no_more() -> None:
    fits = b'{"x":"%s"}' % (b"a" * (9 * MIB - 8))
    assert len(fits) == 9 * MIB
    body = b'{"data":%s,"nonce":"n"}' % fits
    assert len(body) <= BODY_LIMIT
    assert read_call(body).data == fits
    with pytest.raises(PayloadTooLarge, match="data is larger than 9 MB"):
        read_call(b'{"data":%s ,"nonce":"n"}' % fits.replace(b"{", b"{ "))


def test_functions_are_asked_for_by_id_or_external_id() -> None:
    ask = read_asked_functions(_json({"items": [{"id": 1}, {"externalId": "x", "id": None, "new": 1}]}))
    assert ask.references == (Reference(1), Reference(None, "x"))
    assert ask.ignore_unknown is False
    assert read_asked_functions(_json({"items": [{"id": 1}], "ignoreUnknownIds": True})).ignore_unknown is True
    assert read_asked_functions(_json({"items": [{"id": 1}], "ignoreUnknownIds": None})).ignore_unknown is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": None},
        {"items": []},
        {"items": {}},
        {"items": [{"id": 1}] * 11},
        {"items": [{}]},
        {"items": [{"id": 1, "externalId": "x"}]},
        {"items": [{"id": "1"}]},
        {"items": [{"id": 1.0}]},
        {"items": [{"id": True}]},
        {"items": [{"id": 0}]},
        {"items": [{"id": 2**53}]},
        {"items": [{"externalId": 1}]},
        {"items": [{"externalId": "x" * 256}]},
        {"items": [1]},
        {"items": [{"id": 1}], "ignoreUnknownIds": "yes"},
    ],
)
def test_other_ways_to_ask_for_functions_are_refused(body: object) -> None:
    with pytest.raises(Malformed):
        read_asked_functions(_json(body))


def test_calls_are_asked_for_by_id() -> None:
    ask = read_asked_calls(_json({"items": [{"id": 11}, {"id": 12}], "cursor": None}))
    assert ask.references == (Reference(11), Reference(12))


@pytest.mark.parametrize(
    "body",
    [{}, {"items": []}, {"items": [{"externalId": "x"}]}, {"items": [{"id": "11"}]}, {"items": [{"id": 1}] * 1001}],
)
def test_other_ways_to_ask_for_calls_are_refused(body: object) -> None:
    with pytest.raises(Malformed):
        read_asked_calls(_json(body))


@pytest.mark.parametrize(
    ("item", "kind", "client_id"),
    [
        ({"tokenExchange": True}, "TOKEN_EXCHANGE", None),
        ({"tokenExchange": True, "clientId": None, "new": 1}, "TOKEN_EXCHANGE", None),
        ({"tokenExchange": False, "oneshotTokenExchange": True}, "ONESHOT_TOKEN_EXCHANGE", None),
        ({"clientId": "me", "clientSecret": "s"}, "CLIENT_CREDENTIALS", "me"),
    ],
)
def test_a_session_has_three_forms(item: dict[str, Any], kind: str, client_id: str | None) -> None:
    form = read_session(_json({"items": [item]}))
    assert (form.type, form.client_id) == (kind, client_id)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{}],
        [{"tokenExchange": False}],
        [{"tokenExchange": "true"}],
        [{"tokenExchange": True}, {"tokenExchange": True}],
        [{"tokenExchange": True, "oneshotTokenExchange": True}],
        [{"tokenExchange": True, "clientId": "me", "clientSecret": "s"}],
        [{"clientId": "me"}],
        [{"clientSecret": "s"}],
        [{"clientId": "", "clientSecret": "s"}],
        [{"clientId": 1, "clientSecret": "s"}],
    ],
)
def test_other_sessions_are_refused_without_a_word_of_their_secret(items: list[object]) -> None:
    with pytest.raises(Malformed) as caught:
        read_session(_json({"items": items}))
    assert '"s"' not in str(caught.value)
