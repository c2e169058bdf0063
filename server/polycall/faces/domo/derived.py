"""Functions whose manifest nobody wrote: what their own signatures say, in the vendor's types."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from polycall.domain import DeclaredType, Function, Language, Parameter
from polycall.faces.domo.manifest import FunctionSpec, VariableSpec, declared_type
from polycall.faces.wire import present

__all__ = ["derive"]

_TYPES = {"string": "text", "integer": "number", "number": "decimal", "boolean": "boolean", "object": "object"}


def derive(functions: Sequence[Function], language: Language) -> tuple[tuple[FunctionSpec, ...], tuple[Function, ...]]:
    """Return what an analysis found as a manifest shows it, and as the engine binds it: by keyword, never by position.

    JavaScript has names and no types.
    """
    pairs = [_pair(function, typed=language is Language.PYTHON) for function in functions]
    return tuple(spec for spec, _ in pairs), tuple(function for _, function in pairs)


def _pair(function: Function, *, typed: bool) -> tuple[FunctionSpec, Function]:
    schema = _read(function.input_schema)
    properties: dict[str, Any] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    inputs = [
        _variable(name, each if typed else {}, optional=name not in required) for name, each in properties.items()
    ]
    returned = _read(function.output_schema) if typed else {}
    output = None if not returned or returned.get("type") == "null" else _variable("result", returned)
    spec = FunctionSpec(
        name=function.name,
        display_name=function.display_name or None,
        description=function.description or None,
        inputs=tuple(variable for variable, _ in inputs),
        output=None if output is None else output[0],
        has_return=output is not None,
    )
    parameters = tuple(
        Parameter(name=shown.name, declared=held, default=_default(shown, required)) for shown, held in inputs
    )
    return spec, replace(function, parameters=parameters, output=None if output is None else output[1])


def _default(shown: VariableSpec, required: Collection[str]) -> bytes | None:
    """Return what is passed for a missing input; None: nothing is, and the code's own default holds."""
    told = present(shown.default_values)
    return b"null" if told is None and shown.nullable and shown.name in required else told


def _read(schema: bytes | None) -> dict[str, Any]:
    found = msgspec.json.decode(schema) if schema else {}
    return found if isinstance(found, dict) else {}


def _variable(name: str, schema: dict[str, Any], *, optional: bool = False) -> tuple[VariableSpec, DeclaredType]:
    """Return a variable as it is shown, and what its values are held against."""
    kinds = [each for each in schema.get("anyOf") or [schema] if isinstance(each, dict)]
    some = [each for each in kinds if each.get("type") != "null"]
    only = some[0] if len(some) == 1 else {}
    items = only.get("items") if only.get("type") == "array" else None
    shown = VariableSpec(
        name=name,
        type=_type(only if items is None else items),
        is_list=items is not None,
        nullable=optional or len(some) < len(kinds),
        default_values=msgspec.Raw(msgspec.json.encode(schema.get("default"))),
    )
    # to the vendor a `list` is an object, as which no list would ever pass
    bare = only.get("type") == "array" and items is None
    return shown, replace(declared_type(shown), type="") if bare else declared_type(shown)


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "array" or "$ref" in schema:
        return "object"
    return _TYPES.get(kind, "") if isinstance(kind, str) else ""
