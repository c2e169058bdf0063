"""Which JSON values fit which declared type."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import DeclaredType, Parameter
from polycall.faces.domo.types import Described, Mismatch, describe, fit
from polycall.faces.wire import Malformed
from tests.unit.faces.domo.fakes import declared, parameter

STRINGS = ["text", "date", "dateTime", "time", "duration", "person", "dataset", "group", "account"]
VALUES = {
    "text": b'"x"',
    "number": b"1",
    "decimal": b"1.5",
    "boolean": b"true",
    "object": b'{"a": 1}',
    "list": b"[1]",
    "null": b"null",
}
FITS = {
    **{name: {"text"} for name in STRINGS},
    "number": {"number"},
    "decimal": {"number", "decimal"},
    "boolean": {"boolean"},
    "object": {"object"},
    "file": {"text", "object"},
    "directory": {"text", "object"},
    "": set(VALUES),
    "unknown": set(VALUES),
}


@pytest.mark.parametrize("type", FITS)
@pytest.mark.parametrize("kind", VALUES)
def test_every_kind_of_value_against_every_type(type: str, kind: str) -> None:
    value = VALUES[kind]
    if kind in FITS[type]:
        assert fit(value, declared(type)) == value
    else:
        with pytest.raises(Mismatch) as caught:
            fit(value, declared(type))
        got = "list of number" if kind == "list" else kind
        assert str(caught.value) == f"expected {type} but got {got}"


@pytest.mark.parametrize("type", ["number", "text", "object"])
def test_null_fits_what_is_nullable(type: str) -> None:
    assert fit(b"null", declared(type, nullable=True)) == b"null"
    assert fit(b"null", declared(type, nullable=True, is_list=True)) == b"null"
    assert fit(b"[null]", declared(type, nullable=True, is_list=True)) == b"[null]"


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b"3", b"3"),
        (b"3.0", b"3"),
        (b"-0.0", b"0"),
        (b"3e2", b"300"),
        (b"30e-1", b"3"),
        (b"9007199254740993.0", b"9007199254740993"),
        (b"9007199254740993", b"9007199254740993"),
        (b"1E30", b"1" + b"0" * 30),
        (b"12345678901234567890123456789012345678.0", b"12345678901234567890123456789012345678"),
    ],
)
def test_a_whole_number_arrives_as_an_integer(sent: bytes, arrives: bytes) -> None:
    assert fit(sent, declared("number")) == arrives
    in_a_list = fit(b"[1, " + sent + b"]", declared("number", is_list=True))
    assert json.loads(in_a_list) == [1, int(arrives)]
    assert not any(mark in in_a_list for mark in b".eE")


@pytest.mark.parametrize(
    "sent",
    [b"3.5", b"1e-1", b"3.00000000000000000000000000000000001", b"1e309", b"1e999999999", b"1e99999999999999999999"],
)
def test_a_number_that_is_not_whole_is_a_decimal(sent: bytes) -> None:
    with pytest.raises(Mismatch, match=r"^expected number but got decimal$"):
        fit(sent, declared("number"))
    assert fit(sent, declared("decimal")) == sent


def test_a_list_is_untouched_unless_a_number_in_it_changes() -> None:
    assert fit(b"[1,  2]", declared("number", is_list=True)) == b"[1,  2]"
    assert fit(b"[1,  2.0 , -30.00]", declared("number", is_list=True)) == b"[1,  2 , -30]"
    assert fit(b"[1,  2.0, 1e2]", declared("number", is_list=True)) == b"[1,2,100]"
    assert fit(b"[1.0, null]", declared("number", is_list=True, nullable=True)) == b"[1,null]"
    with pytest.raises(Mismatch, match=r"^expected number but got text$"):
        fit(b'[1.0, "2.0 "]', declared("number", is_list=True))
    assert fit(b"[1.0, 2, 1e400]", declared("decimal", is_list=True)) == b"[1.0, 2, 1e400]"
    assert fit(b"[]", declared("object", is_list=True)) == b"[]"


@pytest.mark.parametrize(
    ("value", "type", "is_list", "path", "message"),
    [
        (b"[1]", "number", False, "v", "expected number but got list of number"),
        (b"[]", "number", False, "v", "expected number but got list of any"),
        (b"1", "number", True, "v", "expected list of number but got number"),
        (b"null", "number", True, "v", "expected list of number but got null"),
        (b'[1, "x"]', "number", True, "v[1]", "expected number but got text"),
        (b"[[1]]", "object", True, "v[0]", "expected object but got list of number"),
        (b"[null]", "text", True, "v[0]", "expected text but got null"),
        (b"[1.5]", "text", True, "v[0]", "expected text but got decimal"),
        (b"{}", "", True, "v", "expected list of any but got object"),
    ],
)
def test_a_mismatch_says_where_and_what(value: bytes, type: str, is_list: bool, path: str, message: str) -> None:
    with pytest.raises(Mismatch) as caught:
        fit(value, declared(type, is_list=is_list), "v")
    assert (caught.value.path, str(caught.value)) == (path, message)


PERSON = declared(
    "object",
    children=(
        parameter("name", "text"),
        parameter("age", "number", nullable=True),
        parameter("tags", "text", is_list=True, nullable=True),
        parameter("home", "object", nullable=True, children=(parameter("floor"),)),
    ),
)


def test_an_object_keeps_its_extra_members_and_its_bytes() -> None:
    value = b'{"more": 1.0,  "name": "Ada"}'
    assert fit(value, PERSON) == value


def test_whole_numbers_within_an_object_arrive_as_integers() -> None:
    value = b'{"more": 1.0, "name": "Ada", "age": 3.0, "home": {"floor": 2.0, "x": 1.0}}'
    assert fit(value, PERSON) == b'{"more":1.0,"name":"Ada","age":3,"home":{"floor":2,"x":1.0}}'


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (b"{}", "name", "expected text but it is missing"),
        (b'{"name": null}', "name", "expected text but got null"),
        (b'{"name": "a", "age": "x"}', "age", "expected number but got text"),
        (b'{"name": "a", "tags": ["x", 1]}', "tags[1]", "expected text but got number"),
        (b'{"name": "a", "home": {}}', "home.floor", "expected number but it is missing"),
    ],
)
def test_every_child_must_be_there_and_fit(value: bytes, path: str, message: str) -> None:
    with pytest.raises(Mismatch) as caught:
        fit(value, PERSON)
    assert (caught.value.path, str(caught.value)) == (path, message)


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (b"1", Described("number")),
        (b"-1.0", Described("decimal")),
        (b"[]", Described("", is_list=True)),
        (b"[ \n]", Described("", is_list=True)),
        (b"[\n -1e5 , 2]", Described("decimal", is_list=True)),
        (b'["[1"]', Described("text", is_list=True)),
        (b"[true, 1]", Described("boolean", is_list=True)),
        (b"[[1]]", Described("object", is_list=True)),
    ],
)
def test_a_value_in_the_vendors_words(value: bytes, described: Described) -> None:
    assert describe(value) == described


# any value, any declared type: a plain model of the contract's table says the same


def model(value: Any, declared_type: DeclaredType) -> bool:
    if value is None:
        return declared_type.nullable or (declared_type.type == "" and not declared_type.is_list)
    if declared_type.is_list:
        item = DeclaredType(type=declared_type.type, nullable=declared_type.nullable, children=declared_type.children)
        return isinstance(value, list) and all(model(each, item) for each in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match declared_type.type:
        case "":
            return True
        case "number":
            return number and float(value).is_integer()
        case "decimal":
            return number
        case "boolean":
            return isinstance(value, bool)
        case "object":
            if not isinstance(value, dict):
                return False
            return all(
                model(value[child.name], child.declared) if child.name in value else child.declared.nullable
                for child in declared_type.children
            )
        case "file":
            return isinstance(value, str | dict)
        case _:
            return isinstance(value, str)


names = st.sampled_from(["a", "b"])
types = st.recursive(
    st.builds(
        DeclaredType,
        type=st.sampled_from(["", "number", "decimal", "boolean", "text", "date", "file"]),
        is_list=st.booleans(),
        nullable=st.booleans(),
    ),
    lambda inner: st.builds(
        DeclaredType,
        type=st.just("object"),
        is_list=st.booleans(),
        nullable=st.booleans(),
        children=st.dictionaries(names, inner, max_size=2).map(
            lambda found: tuple(Parameter(name=name, declared=declared_type) for name, declared_type in found.items())
        ),
    ),
    max_leaves=4,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=8,
)


@given(values, types)
def test_what_fits_is_what_the_table_says(value: Any, declared_type: DeclaredType) -> None:
    text = json.dumps(value).encode()
    try:
        fitted = fit(text, declared_type)
    except Mismatch:
        assert not model(value, declared_type)
        return
    assert model(value, declared_type)
    before, after = (json.loads(each, parse_int=Decimal, parse_float=Decimal) for each in (text, fitted))
    assert after == before  # the same numbers as they are spelled, which are not always those of the doubles
    assert fit(fitted, declared_type) == fitted


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_a_number_exactly_if_it_is_whole(value: float) -> None:
    text = json.dumps(value)
    if value.is_integer():  # as it is spelled, which is not always the exact value of the double
        assert fit(text.encode(), declared("number")) == str(int(Decimal(text))).encode()
    else:
        with pytest.raises(Mismatch):
            fit(text.encode(), declared("number"))


def test_a_type_of_many_members_and_a_list_of_many_objects_do_not_multiply() -> None:
    children = tuple(Parameter(name=f"c{n}", declared=DeclaredType(type="text", nullable=True)) for n in range(10_000))
    many = DeclaredType(type="object", is_list=True, children=children)
    assert fit(b"[{},{}]", many) == b"[{},{}]"
    with pytest.raises(Malformed, match="too many objects"):
        fit(b"[%s{}]" % (b"{}," * 3000), many)
