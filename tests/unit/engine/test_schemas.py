"""JSON Schema as tools have it: what is a schema, what fits it, and that neither can take for ever."""

from __future__ import annotations

import json
import time
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from polycall.engine.schemas.check import Check
from polycall.engine.schemas.describe import look
from polycall.engine.schemas.keywords import expressions_of, problems_of
from polycall.engine.schemas.reading import Unusable, printable, read


def problem(schema: Any, value: str, steps: int = 10_000) -> str | None:
    """Check a value, as JSON text, by a schema that has no problems itself."""
    checked = read(json.dumps(schema))
    assert list(problems_of(checked)) == []
    return Check(checked, steps).problem(read(value))


BOOK = {
    "type": "object",
    "properties": {"title": {"type": "string", "minLength": 1}, "year": {"type": "integer", "minimum": 1450}},
    "required": ["title"],
    "additionalProperties": False,
}
OPEN = {
    "properties": {"kind": {}},
    "patternProperties": {"^x-": {}},
    "if": {"properties": {"kind": {"const": "a"}}},
    "then": {"properties": {"n": {}}},
    "dependentSchemas": {
        "more": {"anyOf": [{"properties": {"late": {"const": 2}, "more": {}}}, {"required": ["never"]}]}
    },
    "unevaluatedProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"properties": {"left": {"$ref": "#/$defs/node"}, "n": {"type": "number"}}, "required": ["n"]}},
}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({}, "5", None),
        (True, "null", None),
        (False, "1", "/: is not allowed"),
        (BOOK, '{"title":"A","year":1984.0}', None),
        (BOOK, "null", "/: must be an object"),
        (BOOK, '{"year":1984}', '/: must have "title"'),
        (BOOK, '{"title":""}', "/title: must have at least 1 character"),
        (BOOK, '{"title":"A","year":1449}', "/year: must be 1450 or more"),
        (BOOK, '{"title":"A","year":"1984"}', "/year: must be an integer"),
        (BOOK, '{"title":"A","isbn":1}', "/isbn: is not allowed"),
        (TREE, '{"n":1,"left":{"n":2,"left":{"n":3}}}', None),
        (TREE, '{"n":1,"left":{"n":2,"left":{}}}', '/left/left: must have "n"'),
        ({"type": ["string", "null"]}, "5", "/: must be a string or null"),
        ({"type": "integer"}, "1e400", None),
        ({"type": "integer"}, "2.5", "/: must be an integer"),
        ({"type": "number"}, "true", "/: must be a number"),
        ({"const": 1}, "1.0", None),
        ({"const": 1}, "true", "/: must be 1"),
        ({"const": {"a": [1, 2]}}, '{"a":[1,2.0]}', None),
        ({"enum": [1, "a", None]}, '"b"', '/: must be one of 1, "a", null'),
        ({"enum": [9007199254740993]}, "9007199254740992", "/: must be one of 9007199254740993"),
        ({"multipleOf": 0.01}, "0.07", None),
        ({"multipleOf": 0.01}, "0.075", "/: must be a multiple of 0.01"),
        ({"multipleOf": 3}, "9" * 300, None),
        ({"exclusiveMinimum": 0, "maximum": 2}, "0", "/: must be more than 0"),
        ({"exclusiveMinimum": 0, "maximum": 2}, "2.1", "/: must be 2 or less"),
        ({"maximum": 3, "exclusiveMaximum": True}, "3", "/: must be less than 3"),
        ({"maxLength": 1}, '"\U0001f600"', None),
        ({"items": {"type": "string"}, "minItems": 1}, "[]", "/: must have at least 1 item"),
        ({"items": {"type": "string"}}, '["a",5]', "/1: must be a string"),
        ({"prefixItems": [{"type": "string"}], "items": False}, '["a",5]', "/1: is not allowed"),
        ({"items": [{"type": "string"}], "additionalItems": False}, '["a",5]', "/1: is not allowed"),
        ({"uniqueItems": True}, '[1,true,"1",[1],{"a":1},{"a":2}]', None),
        ({"uniqueItems": True}, '[{"a":1,"b":2},{"b":2.0,"a":1}]', "/: must not have two equal items"),
        ({"contains": {"type": "string"}}, "[1,2]", "/: has 0 items that fit `contains`: must be 1 to 2"),
        ({"propertyNames": {"maxLength": 2}}, '{"abc":1}', "/abc: must have at most 2 characters"),
        ({"minProperties": 2}, '{"a":1}', "/: must have at least 2 members"),
        ({"dependentRequired": {"a": ["b"]}}, '{"a":1}', '/: must have "b", as it has "a"'),
        ({"dependencies": {"a": ["b"]}}, '{"a":1}', '/: must have "b", as it has "a"'),
        ({"dependencies": {"a": {"required": ["c"]}}}, '{"a":1}', '/: must have "c"'),
        ({"allOf": [{"type": "number"}, {"minimum": 3}]}, "2", "/: must be 3 or more"),
        ({"anyOf": [{"type": "string"}, {"minimum": 3}]}, "2", "/: fits none of `anyOf`: /: must be a string"),
        ({"oneOf": [{"type": "number"}, {"minimum": 3}]}, "5", "/: fits 2 of `oneOf`: must fit exactly one"),
        ({"not": {"type": "null"}}, "null", "/: fits what it must not fit (`not`)"),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": False}, '{"a":1}', '/: must have "b"'),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": False}, "{}", "/: is not allowed"),
        ({"pattern": "^a$"}, '"a\\n"', "/: must match ^a$"),
        ({"pattern": "[$]"}, '"$"', None),
        ({"patternProperties": {"^x-": {"type": "null"}}, "additionalProperties": False}, '{"x-a":1}',
         "/x-a: must be null"),
        ({"patternProperties": {"a$": {}, r"a\Z": {"type": "null"}}}, '{"a":1}', "/a: must be null"),
        (OPEN, '{"kind":"a","n":1,"x-1":2}', None),
        (OPEN, '{"kind":"b","n":1}', "/n: is not allowed"),
        (OPEN, '{"kind":"b","more":1,"late":2}', None),
        (OPEN, '{"kind":"b","late":2}', "/late: is not allowed"),
        ({"$ref": "#/$defs/o", "$defs": {"o": OPEN}, "unevaluatedProperties": False}, '{"kind":"a","n":1}', None),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": {"type": "null"}}, '{"a":1,"b":1}',
         "/b: must be null"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, "[1,2]", "/1: is not allowed"),
        ({"prefixItems": [{}], "contains": {"const": 2}, "unevaluatedItems": False}, "[1,2]", None),
        ({"allOf": [{"items": {"type": "number"}}], "unevaluatedItems": False}, "[1,2]", None),
        ({"items": [{}], "additionalItems": {}, "unevaluatedItems": False}, "[1,2]", None),
        ({"format": "email", "title": "t", "default": 5, "surprise": {}}, '"no address"', None),
    ],
)  # fmt: skip
def test_a_value_fits_or_what_is_wrong_is_said(schema: Any, value: str, expected: str | None) -> None:
    assert problem(schema, value) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (5, "/: must be an object, true or false"),
        ({"type": "text"}, "/type: must be one or some of null, boolean, object, array, number, string, integer"),
        ({"properties": {"a": {"minimum": "1"}}}, "/properties/a/minimum: must be a number"),
        ({"properties": []}, "/properties: must be an object"),
        ({"properties": {"a": 5}}, "/properties/a: must be an object, true or false"),
        ({"properties": {"a": [1]}}, "/properties/a: must be an object, true or false"),
        ({"maxItems": -1}, "/maxItems: must be a whole number, 0 or more"),
        ({"multipleOf": 0}, "/multipleOf: must be a number above 0"),
        ({"required": ["a", 1]}, "/required: must be a list of names"),
        ({"dependencies": {"a": [{}]}}, "/dependencies: must be an object of schemas, or of lists of names"),
        ({"$ref": "https://example.com/s.json"}, "/$ref: must lead to a place in this schema, such as #/$defs/name"),
        ({"$ref": "#/$defs/a"}, "/$ref: leads nowhere: '#/$defs/a'"),
        ({"$ref": "#/x/y", "x": {"y": {"type": "text"}}}, "/x/y/type: must be one or some of"),
        ({"$dynamicRef": "#a"}, "/$dynamicRef: is not supported"),
        ({"unevaluatedItems": 5}, "/unevaluatedItems: must be an object, true or false"),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(schema: Any, expected: str) -> None:
    (found,) = problems_of(read(json.dumps(schema)))
    assert found.startswith(expected)


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def test_what_cannot_be_checked_in_bounded_time_is_not_checked() -> None:
    doubling: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, 30):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        doubling[f"d{level}"] = {"anyOf": [below, below]}
    begun = time.process_time()
    for schema, value in (
        ({"$ref": "#"}, "1"),
        ({"items": {"$ref": "#"}}, "[" * 900 + "]" * 900),
        ({"$defs": doubling, "$ref": "#/$defs/d29"}, "1"),
        ({"enum": [list(range(50))] * 50}, json.dumps([list(range(50))] * 200)),
    ):
        with pytest.raises(Unusable, match=r"nested too deeply for its schema|takes too long"):
            problem(schema, value)
    with pytest.raises(Unusable, match="at most 64 schemas within each other"):
        list(problems_of(nested(65)))
    assert list(problems_of(nested(64))) == []
    for text in ("[" * 100_000, '{"a":1e9999999999999999999}', "{"):
        with pytest.raises(Unusable):
            read(text)
    assert time.process_time() - begun < 30  # for ever is longer


_KEYWORDS = (
    *("type", "properties", "patternProperties", "additionalProperties", "propertyNames", "required", "items"),
    *("prefixItems", "additionalItems", "contains", "minContains", "uniqueItems", "enum", "const", "allOf", "anyOf"),
    *("oneOf", "not", "if", "then", "else", "$ref", "$defs", "definitions", "dependencies", "dependentRequired"),
    *(
        "dependentSchemas",
        "unevaluatedProperties",
        "unevaluatedItems",
        "minimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxItems",
        "pattern",
        "title",
    ),
)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3),
    st.sampled_from(["a", "string", "integer", "object", "#", "#/$defs/a", "#/properties/a", "\ud800"]),
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "\ud800"]), inner)
)
_SCHEMAS = st.recursive(
    st.booleans() | st.dictionaries(st.sampled_from(_KEYWORDS), _VALUES, max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(_KEYWORDS),
        inner | st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner) | _VALUES,
        max_size=4,
    ),
    max_leaves=8,
)


@hypothesis.given(schema=_SCHEMAS, value=_VALUES)
def test_whatever_passes_for_a_schema_can_be_checked_with(schema: Any, value: Any) -> None:
    try:
        checked = read(json.dumps(schema))
        problems = list(problems_of(checked))
        said = problems if problems else [Check(checked, 1000).problem(read(json.dumps(value)))]
    except Unusable as error:
        said = [str(error)]
    for text in said:
        printable(text or "").encode()


def test_what_is_said_can_be_sent() -> None:
    closed = {"additionalProperties": False}
    assert problem(closed, '{"\\ud800":1}') == "/\\ud800: is not allowed"
    huge = problem({"minimum": 10**4000}, "1")
    assert huge is not None
    assert len(huge) == 1003


def test_expressions_are_found_wherever_they_are() -> None:
    schema = {"items": {"pattern": "a"}, "patternProperties": {"b": {}}, "$defs": {"x": {"not": {"pattern": "c"}}}}
    assert sorted(expressions_of(schema)) == ["a", "b", "c"]
    assert look(json.dumps(schema), None, 0) == {"problem": None, "unusable": None}
    answer = look('{"pattern":"(a"}', None, 0)
    assert answer["unusable"] is not None
    assert answer["unusable"].startswith("'(a' is not an expression that can be used")
    assert look('{"pattern":"a"}', '"b"', 10) == {"problem": "/: must match a", "unusable": None}
