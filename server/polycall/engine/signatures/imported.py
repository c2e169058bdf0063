"""Asks pydantic, where the runtime has it, for the schemas of functions whose types cannot be read from their text.

Runs beside the submitted program, in a sandbox as any run has: to ask, the module has to be imported. Standard library
only, and alone: it is a file of that program's bundle.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import typing
from typing import Any

__all__ = ["ask"]

_TEMPLATE = "#/$defs/{model}"
_RETURN = "return"


def ask(module: str, convention: str, functions: list[list[str]]) -> dict[str, Any]:
    """Return ``{"schemas": {name: [input, output]}, "error": why the module cannot be imported}``.

    ``functions`` are [name, input schema, output schema] as their text says; what pydantic knows better is replaced.
    Without pydantic there is no answer, and nothing is imported.
    """
    if importlib.util.find_spec("pydantic") is None:
        return {"schemas": {}, "error": ""}
    try:
        namespace = importlib.import_module(module)
    except BaseException as error:  # whatever a module does when it is imported, SystemExit included
        return {"schemas": {}, "error": f"{type(error).__name__}: {error}"[:1000]}
    answers = {}
    for name, read, returned in functions:
        with contextlib.suppress(Exception):  # else its text says what it says
            answers[name] = _schemas(
                getattr(namespace, name), convention, json.loads(read), json.loads(returned or "{}")
            )
    return {"schemas": answers, "error": ""}


def _schemas(function: Any, convention: str, read: dict[str, Any], returned: dict[str, Any]) -> list[str]:
    adapter_of: Any = importlib.import_module("pydantic").TypeAdapter
    hints = typing.get_type_hints(function, include_extras=True)
    adapters: dict[str, Any] = {}
    for name, hint in hints.items():
        with contextlib.suppress(Exception):  # nothing that JSON holds
            adapter = adapter_of(hint)
            adapter.json_schema(mode=_mode(name))
            adapters[name] = adapter
    known, more = adapter_of.json_schemas(
        [(name, _mode(name), adapter) for name, adapter in adapters.items()], ref_template=_TEMPLATE
    )
    schemas = {name: schema for (name, _), schema in known.items()}
    definitions = more.get("$defs", {})
    output = schemas.get(_RETURN, returned)
    parameters = [name for name in inspect.signature(function).parameters if name in schemas]
    if convention in ("keywords", "parameters"):
        properties = {
            name: _merged(schemas[name], said) if name in schemas else said
            for name, said in read.get("properties", {}).items()
        }
        read = {**read, "properties": properties}
    elif convention == "input":
        first = next(iter(inspect.signature(function).parameters), "")
        read = schemas[first] if first in parameters else read
    elif "data" in schemas:
        read = schemas["data"]
    return [_text(read, definitions), _text(output, definitions) if output else ""]


def _mode(name: str) -> str:
    return "serialization" if name == _RETURN else "validation"


def _merged(schema: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, with what only its function says of it."""
    return schema | {key: said[key] for key in ("description", "default") if key in said and key not in schema}


def _text(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a schema as text, with the definitions that it needs."""
    needed: dict[str, Any] = dict(schema.get("$defs", {}))
    waiting: list[Any] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = str(value.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in needed:
                needed[name] = definitions[name]
                waiting.append(definitions[name])
            waiting += value.values()
    plain = {key: value for key, value in schema.items() if key != "$defs"}
    whole = {**plain, "$defs": needed} if needed else plain
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
