from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Convention, Function
from polycall.errors import FailedPrecondition
from polycall.faces.xpander.parameters import read_parameters
from polycall.faces.xpander.problems import Unprocessable

Json = dict[str, Any]


def _function(schema: object, *, accepts_any: bool = False) -> Function:
    return Function(
        name="f",
        entrypoint="main:f",
        convention=Convention.KEYWORDS,
        input_schema=json.dumps(schema).encode() if schema is not None else None,
        accepts_any=accepts_any,
    )


def _object(required: list[str] | None = None, **properties: object) -> Json:
    return {"type": "object", "properties": properties, "required": required or []}


def _passed(schema: object, body: bytes, *, accepts_any: bool = False) -> bytes:
    return read_parameters(_function(schema, accepts_any=accepts_any), body)


def _problems(schema: object, body: bytes) -> list[Json]:
    with pytest.raises(Unprocessable) as caught:
        _passed(schema, body)
    shown: list[Json] = json.loads(msgspec.json.encode(caught.value.problems))
    return shown


# the contract's examples


def test_a_missing_member_is_listed_as_in_the_contract() -> None:
    schema = _object(["city"], city={"type": "string"})
    assert _problems(schema, b'{"town":"SF"}') == [
        {"type": "missing", "loc": ["body", "city"], "msg": "Field required", "input": {"town": "SF"}}
    ]


def test_a_wrong_type_is_listed_as_in_the_contract() -> None:
    schema = _object(max_items={"type": "integer", "default": 100})
    assert _problems(schema, b'{"max_items":"x"}') == [
        {"type": "int_type", "loc": ["body", "max_items"], "msg": "Input should be a valid integer", "input": "x"}
    ]


# one type after the other


@pytest.mark.parametrize(
    ("schema", "fitting", "unfitting", "kind", "message"),
    [
        ("string", ['"x"', '""'], ["5", "null", "true", "[]", "{}"], "string_type", "Input should be a valid string"),
        (
            "integer",
            ["5", "-1", "0", "9007199254740993", "1" * 400],
            ['"5"', "5.5", "true", "null", "[5]", "1e-1", "1e999", "1e999999999999"],
            "int_type",
            "Input should be a valid integer",
        ),
        (
            "number",
            ["5", "5.0", "-1.5e10", "1e999", "9007199254740993"],
            ['"5"', "true", "null", "[]"],
            "float_type",
            "Input should be a valid number",
        ),
        ("boolean", ["true", "false"], ["0", "1", '"true"', "null"], "bool_type", "Input should be a valid boolean"),
        ("array", ["[]", '[1,"x"]'], ["{}", '"[]"', "null", "0"], "list_type", "Input should be a valid list"),
        ("object", ["{}", '{"a": 1.0}'], ["[]", '"{}"', "null"], "dict_type", "Input should be a valid dictionary"),
        ("null", ["null"], ["0", '""', "false", "{}"], "none_required", "Input should be None"),
    ],
)
def test_each_type_takes_its_own_json_type_and_no_other(
    schema: str, fitting: list[str], unfitting: list[str], kind: str, message: str
) -> None:
    shape = _object(x={"type": schema})
    for text in fitting:
        assert _passed(shape, b'{"x":%s}' % text.encode()) == b'{"x":%s}' % text.encode()
    for text in unfitting:
        (problem,) = _problems(shape, b'{"x":%s}' % text.encode())
        assert (problem["type"], problem["loc"], problem["msg"]) == (kind, ["body", "x"], message)
        assert problem["input"] == json.loads(text)


@pytest.mark.parametrize("schema", [{}, True, {"description": "anything"}, {"type": "mystery"}])
def test_a_member_without_a_type_takes_anything(schema: object) -> None:
    for text in (b"1", b"null", b'"x"', b'[{"a": 1.0}]'):
        assert _passed(_object(x=schema), b'{"x":%s}' % text) == b'{"x":%s}' % text


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("5.0", "5"),
        ("-3.00", "-3"),
        ("1e3", "1000"),
        ("1.5E1", "15"),
        ("-0.0", "0"),
        ("9007199254740993.0", "9007199254740993"),
        ("1e22", "10000000000000000000000"),
    ],
)
def test_an_integral_float_arrives_as_an_integer(sent: str, arrives: str) -> None:
    assert _passed(_object(n={"type": "integer"}), b'{"n": %s}' % sent.encode()) == b'{"n":%s}' % arrives.encode()


def test_what_fits_is_passed_on_untouched_inside_too() -> None:
    schema = _object(rows={"type": "array", "items": _object(["id"], id={"type": "integer"})}, x={"type": "number"})
    body = b'{"rows":[{"z": 1.0,  "id": 9007199254740993}, {"id":1}],"x":1.0}'
    assert _passed(schema, body) == body


def test_only_what_must_change_changes() -> None:
    schema = _object(rows={"type": "array", "items": _object(["id"], id={"type": "integer"})})
    body = b'{"rows": [{"z": 1.0,  "id": 7}, {"id": 5.0, "y": [ 1 ]}]}'
    assert _passed(schema, body) == b'{"rows":[{"z": 1.0,  "id": 7},{"id":5,"y":[ 1 ]}]}'


# objects


def test_unknown_members_are_dropped_unless_the_function_takes_any() -> None:
    schema = _object(a={"type": "integer"})
    body = b'{"z": 2.50, "a": 1, "y": {"q": 1.0}}'
    assert _passed(schema, body) == b'{"a":1}'
    assert _passed(schema, body, accepts_any=True) == b'{"z":2.50,"a":1,"y":{"q": 1.0}}'
    assert _passed({**schema, "additionalProperties": True}, body) == b'{"z":2.50,"a":1,"y":{"q": 1.0}}'
    assert _passed({**schema, "additionalProperties": False}, body) == b'{"a":1}'
    assert _passed({"type": "object"}, body) == b"{}"


def test_members_that_are_not_named_can_have_a_schema() -> None:
    schema = {**_object(a={"type": "string"}), "additionalProperties": {"type": "integer"}}
    assert _passed(schema, b'{"a":"x","b":2.0}') == b'{"a":"x","b":2}'
    assert [problem["loc"] for problem in _problems(schema, b'{"a":"x","b":"y"}')] == [["body", "b"]]


def test_without_a_schema_everything_is_passed_on() -> None:
    assert _passed(None, b'{"b": 1.0, "a": []}') == b'{"b":1.0,"a":[]}'


def test_no_body_is_no_parameters() -> None:
    assert _passed(_object(a={"type": "integer", "default": 1}), b"") == b"{}"
    (problem,) = _problems(_object(["a"], a={}), b"")
    assert problem == {"type": "missing", "loc": ["body", "a"], "msg": "Field required", "input": {}}


def test_null_is_a_value() -> None:
    (problem,) = _problems(_object(n={"type": "integer", "default": 1}), b'{"n":null}')
    assert problem["type"] == "int_type"


def test_all_problems_are_listed_at_once_down_to_their_places() -> None:
    schema = _object(
        ["city", "rows", "who"],
        city={"type": "string"},
        rows={"type": "array", "items": _object(["id"], id={"type": "integer"}, tags={"type": "array"})},
        deep=_object(["x"], x=_object(["y"], y={"type": "boolean"})),
        who={},
    )
    body = b'{"rows":[{"id":1},{},{"id":"x","tags":1}],"city":1,"deep":{"x":{"y":1}}}'
    assert [(problem["type"], problem["loc"]) for problem in _problems(schema, body)] == [
        ("string_type", ["body", "city"]),
        ("missing", ["body", "rows", 1, "id"]),
        ("int_type", ["body", "rows", 2, "id"]),
        ("list_type", ["body", "rows", 2, "tags"]),
        ("bool_type", ["body", "deep", "x", "y"]),
        ("missing", ["body", "who"]),
    ]


def test_a_required_name_without_a_schema_is_required() -> None:
    schema = {"type": "object", "properties": {}, "required": ["a"], "additionalProperties": True}
    assert [problem["loc"] for problem in _problems(schema, b"{}")] == [["body", "a"]]


# lists, unions, literals


@pytest.mark.parametrize(
    ("items", "fitting", "unfitting"),
    [
        ("integer", b"[1,2,9007199254740993]", b'[1,true,"x",2.5]'),
        ("number", b"[1,2.0,1e999]", b'[1,true,"x",null]'),
        ("string", b'["a",""]', b'["a",1,null,[]]'),
        ("boolean", b"[true,false]", b'[true,0,"x",null]'),
    ],
)
def test_every_item_of_a_list_is_checked(items: str, fitting: bytes, unfitting: bytes) -> None:
    schema = _object(x={"type": "array", "items": {"type": items}})
    assert _passed(schema, b'{"x":%s}' % fitting) == b'{"x":%s}' % fitting
    assert [problem["loc"] for problem in _problems(schema, b'{"x":%s}' % unfitting)] == [
        ["body", "x", 1],
        ["body", "x", 2],
        ["body", "x", 3],
    ]


def test_an_integral_float_in_a_list_of_integers_arrives_as_an_integer() -> None:
    schema = _object(x={"type": "array", "items": {"type": "integer"}})
    assert _passed(schema, b'{"x":[1, 2.0,3e1]}') == b'{"x":[1,2,30]}'


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
def test_an_optional_takes_its_type_or_null(word: str) -> None:
    schema = _object(x={word: [{"type": "integer"}, {"type": "null"}]})
    assert _passed(schema, b'{"x":null}') == b'{"x":null}'
    assert _passed(schema, b'{"x":5.0}') == b'{"x":5}'
    assert [(problem["type"], problem["loc"]) for problem in _problems(schema, b'{"x":"5"}')] == [
        ("int_type", ["body", "x"])
    ]


def test_a_union_prefers_what_fits_as_it_is_and_else_lists_what_all_have_against_it() -> None:
    schema = _object(x={"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "string"}]})
    assert _passed(schema, b'{"x":5.0}') == b'{"x":5.0}'
    assert [problem["type"] for problem in _problems(schema, b'{"x":[]}')] == ["int_type", "float_type", "string_type"]


def test_a_union_of_nothing_but_null_takes_null() -> None:
    assert [problem["type"] for problem in _problems(_object(x={"anyOf": [{"type": "null"}]}), b'{"x":[]}')] == [
        "none_required"
    ]


def test_a_list_of_types_is_a_union() -> None:
    schema = _object(x={"type": ["string", "null"]})
    assert _passed(schema, b'{"x":null}') == b'{"x":null}'
    assert [problem["type"] for problem in _problems(schema, b'{"x":1}')] == ["string_type"]


def test_a_union_with_anything_takes_anything() -> None:
    assert _passed(_object(x={"anyOf": [{"type": "integer"}, True]}), b'{"x":"y"}') == b'{"x":"y"}'
    assert _passed(_object(x={"anyOf": [{"type": "integer"}, {}]}), b'{"x":5.0}') == b'{"x":5.0}'


def test_a_literal_is_one_of_its_values() -> None:
    schema = _object(x={"enum": ["a", 1, True, None, "é"]})
    for text in ('"a"', "1", "true", "null", '"é"', '"\\u00e9"'):
        assert json.loads(_passed(schema, b'{"x":%s}' % text.encode()))["x"] == json.loads(text)
    assert _passed(schema, b'{"x":1.0}') == b'{"x":1}'
    for text in ('"b"', "2", "false", '"1"', "[]", '{"a":1}', "1e999"):
        (problem,) = _problems(schema, b'{"x":%s}' % text.encode())
        assert problem == {
            "type": "literal_error",
            "loc": ["body", "x"],
            "msg": "Input should be 'a', 1, True, None or 'é'",
            "input": json.loads(text),
            "ctx": {"expected": "'a', 1, True, None or 'é'"},
        }


def test_true_is_not_one() -> None:
    assert [problem["type"] for problem in _problems(_object(x={"enum": [1]}), b'{"x":true}')] == ["literal_error"]
    assert [problem["type"] for problem in _problems(_object(x={"const": True}), b'{"x":1}')] == ["literal_error"]
    assert _passed(_object(x={"const": "only"}), b'{"x":"only"}') == b'{"x":"only"}'
    (problem,) = _problems(_object(x={"type": "string", "const": None}), b'{"x":"y"}')
    assert problem["msg"] == "Input should be None"


# bounds


def test_a_list_of_problems_is_bounded() -> None:
    schema = _object(x={"type": "array", "items": {"type": "integer"}}, y={"type": "string"})
    assert len(_problems(schema, b'{"x":[' + b'"a",' * 5000 + b'"a"],"y":1}')) == 1000


def test_a_large_value_is_not_shown_again() -> None:
    schema = _object(["a", "b"], x={"type": "integer"})
    found = _problems(schema, b'{"x":"%s"}' % (b"y" * 5000))
    assert [sorted(problem) for problem in found] == [["loc", "msg", "type"]] * 3


def test_the_name_of_an_unknown_member_is_shown_in_part() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert _problems(schema, b'{"%s":"x"}' % (b"n" * 5000))[0]["loc"] == ["body", "n" * 256]


@pytest.mark.parametrize("schema", [5, [], True, {"type": 1}, {"properties": []}, {"properties": {"a": 3}}])
def test_a_schema_that_is_none_is_told(schema: object) -> None:
    with pytest.raises(FailedPrecondition):
        _passed(schema, b"{}")


# an independent reading of the same rules

_TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda kind: {"type": kind})
_SCHEMAS = st.recursive(
    _TYPES
    | st.just({})
    | st.lists(st.sampled_from(["a", "b", 1, 2.5, True, None]), min_size=1).map(lambda v: {"enum": v}),
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        st.dictionaries(st.sampled_from("pqr"), inner, max_size=3).flatmap(
            lambda properties: st.lists(st.sampled_from("pqrs"), unique=True).map(
                lambda required: {"type": "object", "properties": properties, "required": required}
            )
        ),
    ),
    max_leaves=6,
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([1.0, 2.5, -0.0, 1e22])
    | st.sampled_from(["a", "b", "", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("pqrs"), inner, max_size=4),
    max_leaves=8,
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(schema: Json, value: Any) -> bool:
    if "enum" in schema:
        alike = [allowed for allowed in schema["enum"] if _is_number(allowed) == _is_number(value)]
        same_kind = [a for a in alike if isinstance(a, bool) == isinstance(value, bool)]
        return not isinstance(value, list | dict) and value in same_kind
    if "anyOf" in schema:
        return any(_fits(branch, value) for branch in schema["anyOf"])
    match schema.get("type"):
        case "string":
            return isinstance(value, str)
        case "integer":
            return _is_number(value) and value == int(value)
        case "number":
            return _is_number(value)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list) and all(_fits(schema["items"], item) for item in value)
        case "object":
            return (
                isinstance(value, dict)
                and all(name in value for name in schema["required"])
                and all(_fits(schema["properties"].get(name, {}), member) for name, member in value.items())
            )
    return True


@given(_SCHEMAS, _VALUES)
def test_the_checks_agree_with_an_independent_reading_of_the_rules(schema: Json, value: object) -> None:
    body = json.dumps({"x": value}).encode()
    shape = _object(["x"], x=schema)
    if not _fits(schema, value):
        assert _problems(shape, body) != []
        return
    passed = json.loads(_passed(shape, body))
    assert passed == {"x": value}


@given(_VALUES)
def test_what_is_not_looked_at_is_passed_on_byte_for_byte(value: object) -> None:
    text = json.dumps(value).encode()
    assert _passed(_object(x={}), b'{"x":%s}' % text) == b'{"x":%s}' % text


@given(st.binary(max_size=40))
def test_any_bytes_are_taken_or_refused_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(Unprocessable):
        assert isinstance(json.loads(_passed(_object(x={"type": "integer"}), body)), dict)


# what richer schemas say


def _kinds(schema: object, body: bytes) -> list[tuple[str, list[str | int]]]:
    return [(problem["type"], problem["loc"]) for problem in _problems(schema, body)]


@pytest.mark.parametrize(
    ("schema", "fitting", "unfitting", "problem"),
    [
        (
            {"type": "integer", "minimum": 1},
            ["1", "1.0", "9007199254740993"],
            ["0", "-5.0"],
            ("greater_than_equal", "Input should be greater than or equal to 1", {"ge": 1}),
        ),
        (
            {"type": "number", "exclusiveMinimum": 0.1},
            ["0.11", "1e999"],
            ["0.1", "-1"],
            ("greater_than", "Input should be greater than 0.1", {"gt": 0.1}),
        ),
        (
            {"type": "number", "maximum": 9007199254740992},
            ["9007199254740992", "-1e999"],
            ["9007199254740993", "1e999", "1e99999999999999999999"],
            ("less_than_equal", "Input should be less than or equal to 9007199254740992", {"le": 9007199254740992}),
        ),
        (
            {"type": "integer", "exclusiveMaximum": 3},
            ["2"],
            ["3", "3.0"],
            ("less_than", "Input should be less than 3", {"lt": 3}),
        ),
        (
            {"type": "number", "multipleOf": 0.1},
            ["0.3", "-1", "0", "1e20"],
            ["0.25", "1e999", "1" * 500],
            ("multiple_of", "Input should be a multiple of 0.1", {"multiple_of": 0.1}),
        ),
        (
            {"type": "string", "minLength": 2},
            ['"ab"', '"\\u00e9\\u00e9"', '"\U0001f600\U0001f600"'],
            ['"a"', '"\\u00e9"', '""'],
            ("string_too_short", "String should have at least 2 characters", {"min_length": 2}),
        ),
        (
            {"type": "string", "maxLength": 1},
            ['""', '"\\n"'],
            ['"ab"'],
            ("string_too_long", "String should have at most 1 character", {"max_length": 1}),
        ),
        (
            {"type": "array", "minItems": 1},
            ["[null]"],
            ["[]"],
            (
                "too_short",
                "List should have at least 1 item after validation, not 0",
                {"field_type": "List", "min_length": 1, "actual_length": 0},
            ),
        ),
        (
            {"type": "object", "maxProperties": 1},
            ["{}"],
            ['{"a":1,"b":2}'],
            (
                "too_long",
                "Dictionary should have at most 1 item after validation, not 2",
                {"field_type": "Dictionary", "max_length": 1, "actual_length": 2},
            ),
        ),
    ],
)
def test_bounds_hold(schema: Json, fitting: list[str], unfitting: list[str], problem: tuple[str, str, Json]) -> None:
    shape = _object(x=schema)
    for text in fitting:
        _passed(shape, b'{"x":%s}' % text.encode())
    for text in unfitting:
        (found,) = _problems(shape, b'{"x":%s}' % text.encode())
        assert (found["type"], found["msg"], found["ctx"]) == problem


def test_patterns_and_formats_are_not_run() -> None:
    shape = _object(x={"type": "string", "pattern": "^(a+)+$", "format": "uuid"})
    assert _passed(shape, b'{"x":"%s!"}' % (b"a" * 1000)) == b'{"x":"%s!"}' % (b"a" * 1000)


def test_references_are_followed_as_deep_as_the_value_goes() -> None:
    node = _object(["n"], n={"type": "integer"}, next={"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]})
    shape = {**_object(x={"$ref": "#/$defs/Node", "description": "A list."}), "$defs": {"Node": node}}
    assert _passed(shape, b'{"x":{"n":1,"next":{"n":2.0,"next":null}}}') == b'{"x":{"n":1,"next":{"n":2,"next":null}}}'
    assert _kinds(shape, b'{"x":{"n":1,"next":{"n":"2","next":{}}}}') == [
        ("int_type", ["body", "x", "next", "n"]),
        ("missing", ["body", "x", "next", "next", "n"]),
    ]


def test_a_reference_to_nothing_takes_anything() -> None:
    assert _passed(_object(x={"$ref": "#/$defs/Gone"}), b'{"x":1}') == b'{"x":1}'


def test_the_items_of_a_tuple_have_schemas_of_their_own() -> None:
    shape = _object(x={"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "maxItems": 2})
    assert _passed(shape, b'{"x":[1.0,"a"]}') == b'{"x":[1,"a"]}'
    assert _kinds(shape, b'{"x":["a",1,null]}') == [
        ("too_long", ["body", "x"]),
        ("int_type", ["body", "x", 0]),
        ("string_type", ["body", "x", 1]),
    ]


def test_a_closed_object_within_takes_no_other_members() -> None:
    inner = {**_object(a={"type": "integer"}), "additionalProperties": False}
    assert _kinds(_object(x=inner), b'{"x":{"a":1,"b":2}}') == [("extra_forbidden", ["body", "x", "b"])]


def test_names_of_members_may_have_a_schema() -> None:
    shape = _object(x={"type": "object", "propertyNames": {"enum": ["a", "b"]}})
    assert _passed(shape, b'{"x":{"a":1}}') == b'{"x":{"a":1}}'
    assert _kinds(shape, b'{"x":{"c":1}}') == [("literal_error", ["body", "x", "c", "[key]"])]


def test_all_of_several_schemas_must_fit() -> None:
    shape = {
        **_object(x={"allOf": [{"$ref": "#/$defs/A"}, {"type": "integer", "minimum": 2}]}),
        "$defs": {"A": {"type": "integer", "maximum": 3}},
    }
    assert _passed(shape, b'{"x":2.0}') == b'{"x":2}'
    assert _kinds(shape, b'{"x":4}') == [("less_than_equal", ["body", "x"])]


def test_objects_can_be_literals() -> None:
    shape = _object(x={"enum": [{"a": 1, "b": [True]}, [1]]})
    assert _passed(shape, b'{"x":{"b": [true], "a":1}}') == b'{"x":{"b": [true], "a":1}}'
    assert _kinds(shape, b'{"x":{"a":true}}') == [("literal_error", ["body", "x"])]


def test_a_long_list_of_literals_is_cut_in_the_message() -> None:
    shape = _object(x={"enum": list(range(100_000))})
    (problem,) = _problems(shape, b'{"x":-1}')
    assert problem["msg"].endswith("48, 49 or …")
    assert _passed(shape, b'{"x":99999}') == b'{"x":99999}'


@pytest.mark.parametrize(
    "definitions",
    [
        {"A": {"$ref": "#/$defs/A"}},
        {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        {"A": {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}},
    ],
)
def test_a_schema_that_only_leads_back_to_itself_ends(definitions: Json) -> None:
    shape = {**_object(x={"$ref": "#/$defs/A"}), "$defs": definitions}
    assert {kind for kind, _ in _kinds(shape, b'{"x":1}')} <= {"too_complex", "none_required"}


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    shape = {
        **_object(x={"$ref": "#/$defs/L"}),
        "$defs": {"L": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/L"}}]}},
    }
    assert _passed(shape, b'{"x":%s1%s}' % (b"[" * 40, b"]" * 40))
    for depth in (200, 500, 900):
        body = b'{"x":%s1%s}' % (b"[" * depth, b"]" * depth)
        assert "too_complex" in {kind for kind, _ in _kinds(shape, body)}


def test_unions_that_multiply_their_ways_are_bounded() -> None:
    branch = {"type": "array", "items": {"$ref": "#/$defs/L"}}
    shape = {**_object(x={"$ref": "#/$defs/L"}), "$defs": {"L": {"anyOf": [branch] * 4}}}
    assert len(_problems(shape, b'{"x":%s1%s}' % (b"[" * 30, b"]" * 30))) == 1000


def test_names_and_types_of_a_schema_that_multiply_are_bounded() -> None:
    # each of these took minutes
    many = [f"k{number}" for number in range(60_000)]
    assert len(_problems({"type": "object", "required": many}, b"{}")) == 1000
    objects = b'{"x":[%s{}]}' % (b"{}," * 3000)
    named = {"type": "object", "properties": {name: {"type": "string"} for name in many[:10_000]}}
    assert "too_complex" in {kind for kind, _ in _kinds(_object(x={"type": "array", "items": named}), objects)}
    kinds = {"type": ["object", *many]}
    assert _passed(_object(x={"type": "array", "items": kinds}), objects) == objects
