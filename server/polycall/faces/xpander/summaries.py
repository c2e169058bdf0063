"""One sentence that says how a custom function is called, made of what its analysis found."""

from __future__ import annotations

from polycall.domain import Function
from polycall.errors import FailedPrecondition
from polycall.faces.xpander.schema import Schema, read_schema

__all__ = ["technical_description"]

_MOST_PARAMETERS = 20  # that a sentence can bear
_MOST_TYPES = 5
_DEEPEST = 3  # types within types
_LONGEST_NAME = 60  # characters of a name or a value


def technical_description(function: Function) -> str:
    """Return such as ``Calls f with city (string, required); returns string.``"""
    taken = _read(function.input_schema)
    parts = [
        f"{_short(name)} ({_words(kind)}, {'required' if name in taken.required else 'optional'})"
        for name, kind in list(taken.properties.items())[:_MOST_PARAMETERS]
    ]
    if len(taken.properties) > _MOST_PARAMETERS:
        parts.append(f"{len(taken.properties) - _MOST_PARAMETERS} more")
    if function.accepts_any:
        parts.append("any others")
    with_what = f"with {', '.join(parts)}" if parts else "without parameters"
    return f"Calls {function.name} {with_what}; returns {_words(_read(function.output_schema))}."


def _read(text: bytes | None) -> Schema:
    try:
        return read_schema(text) if text else Schema()
    except FailedPrecondition:  # declared by somebody who was free to
        return Schema()


def _words(schema: Schema | bool, depth: int = 0) -> str:
    if isinstance(schema, bool) or depth > _DEEPEST:
        return "any"
    if schema.target is not None:
        return _short(schema.target)
    if schema.any_of or schema.one_of:
        return " or ".join(_words(each, depth + 1) for each in (schema.any_of or schema.one_of)[:_MOST_TYPES])
    if schema.literals is not None:
        return " or ".join(_short(str(value)) for value in schema.literals[:_MOST_TYPES])
    kinds = schema.type if isinstance(schema.type, list) else [schema.type or "any"]
    return " or ".join(_short(kind) for kind in kinds[:_MOST_TYPES])


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
