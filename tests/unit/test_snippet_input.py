"""Inputs made of schemas: what a function takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polycall.cli.snippet_input import example_of
from polycall.v1 import package_pb2


def example(schema: object) -> Any:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return example_of(package_pb2.Function(input_schema_json=text))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "example"),
        ({"type": "string", "minLength": 10}, "exampleexample"),
        ({"type": "string", "maxLength": 3}, "exa"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "examples": ["given"]}, "given"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "minimum": 3, "multipleOf": 4}, 4),
        ({"type": "number"}, 1.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 9}, 9),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array"}, []),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, [1, "example"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"key": 1}),
    ],
)
def test_a_value_fits_its_schema(schema: object, value: object) -> None:
    assert example(schema) == value


def test_an_object_has_what_it_must_and_what_has_a_default() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "integer", "default": 3}, "c": {"type": "string"}},
        "required": ["a"],
        "$defs": {"A": {"type": "object", "properties": {"next": {"$ref": "#/$defs/A"}}, "required": []}},
    }
    assert example(schema) == {"a": {}, "b": 3}


def test_a_schema_without_end_has_one() -> None:
    tree = {"$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}, "minItems": 1}}, "$ref": "#/$defs/T"}
    assert json.dumps(example(tree)).count("[") < 10


@pytest.mark.parametrize(
    "schema",
    [
        *("", "{", "[]", '"x"', "[" * 5000),
        *('{"type": 5}', '{"properties": 3}', '{"anyOf": {}}', '{"$defs": 3, "$ref": "x"}'),
        *('{"type": "string", "minLength": "x"}', '{"type": "integer", "multipleOf": 0.3, "minimum": "a"}'),
    ],
)
def test_what_is_no_schema_breaks_nothing(schema: str) -> None:
    example(schema)


def test_declared_inputs_have_values_of_their_types() -> None:
    kinds = {"a": "number", "b": "text", "c": "boolean", "d": "date", "e": "object", "f": "unknown"}
    parameters = [
        package_pb2.Parameter(name=name, declared_type=package_pb2.DeclaredType(type=kind))
        for name, kind in kinds.items()
    ]
    child = package_pb2.Parameter(name="x", declared_type=package_pb2.DeclaredType(type="number", is_list=True))
    nested = package_pb2.DeclaredType(type="object", is_list=True, children=[child])
    parameters.append(package_pb2.Parameter(name="g", declared_type=nested))
    parameters.append(package_pb2.Parameter(name="h", default_json="[1]"))
    plain = {"a": 1, "b": "example", "c": True, "d": "2026-01-01", "e": {"key": "example"}, "f": "example"}
    assert example_of(package_pb2.Function(parameters=parameters)) == plain | {"g": [{"x": [1]}], "h": [1]}
