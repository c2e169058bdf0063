"""What ``Annotated`` and field functions say of a value: bounds, lengths, patterns, words for people.

pydantic's ``Field``, annotated_types, msgspec's ``Meta`` and typing_extensions' ``Doc`` are known by their keywords.
"""

from __future__ import annotations

from typing import Any

__all__ = ["FIELD_CALLS", "KEYWORDS", "POSITIONAL", "constrain"]

Schema = dict[str, Any]

# what pydantic, FastAPI and msgspec call functions that describe one field or parameter
FIELD_CALLS = {"Field", "Query", "Body", "Form", "Header", "Meta", "StringConstraints", "Interval", "Len"}
# keyword -> JSON Schema's
KEYWORDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "min_length": "min_length",
    "max_length": "max_length",
    "min_items": "min_length",
    "max_items": "max_length",
    "pattern": "pattern",
    "regex": "pattern",
    "title": "title",
    "description": "description",
    "examples": "examples",
    "deprecated": "deprecated",
}
# the one argument of annotated_types' classes, and of Doc
POSITIONAL = {
    "Gt": "gt",
    "Ge": "ge",
    "Lt": "lt",
    "Le": "le",
    "MultipleOf": "multiple_of",
    "MinLen": "min_length",
    "MaxLen": "max_length",
    "Doc": "description",
}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_NUMBERS = ("exclusiveMinimum", "minimum", "exclusiveMaximum", "maximum", "multipleOf")
_WORDS = ("title", "description", "examples", "deprecated")


def constrain(schema: Schema, said: dict[str, Any]) -> Schema:
    """Return the schema with what is said of its value; ``said`` has the keys of ``KEYWORDS``' values.

    Of a union, each member takes what fits its type. A constraint that is of the wrong kind (a length that is a text)
    says nothing.
    """
    if "anyOf" in schema:
        schema = {**schema, "anyOf": [_constrained(member, said) for member in schema["anyOf"]]}
    else:
        schema = _constrained(schema, said)
    for name in _WORDS:
        value = said.get(name)
        if isinstance(value, {"examples": list, "deprecated": bool}.get(name, str)):
            schema = {**schema, name: value}
    return schema


def _constrained(schema: Schema, said: dict[str, Any]) -> Schema:
    kind = schema.get("type")
    added: Schema = {}
    if kind in ("integer", "number"):
        added = {name: said[name] for name in _NUMBERS if _is_number(said.get(name))}
        if added.get("multipleOf", 1) <= 0:
            del added["multipleOf"]
    elif kind in _LENGTHS:
        for name, key in zip(("min_length", "max_length"), _LENGTHS[kind], strict=True):
            if type(said.get(name)) is int and said[name] >= 0:
                added[key] = said[name]
        if kind == "string" and isinstance(said.get("pattern"), str):
            added["pattern"] = said["pattern"]
    return schema | added


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
