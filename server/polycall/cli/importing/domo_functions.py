"""A Domo version's functions: as the vendor writes them, as the engine has them, as the contract shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from polycall.cli.importing.export import parsed
from polycall.domain import Convention, DeclaredType, Function, Parameter

__all__ = ["FunctionSpec", "engine_function", "shown_function"]

_NULL = b"null"
_TYPES = (
    *("text", "number", "decimal", "boolean", "date", "dateTime", "time", "duration", "object"),
    *("person", "dataset", "group", "account", "file", "directory"),
)
_SPELLED = {name.lower(): name for name in _TYPES}


class VariableSpec(msgspec.Struct, rename="camel"):
    """An input, an output, or a child of one."""

    name: str | None = None
    type: str | None = None
    display_name: str | None = None
    is_list: bool | None = None
    list: bool | None = None  # older spelling
    nullable: bool | None = None
    allow_null: bool | None = None  # older spelling
    children: tuple[VariableSpec, ...] | None = None
    default_values: msgspec.Raw = msgspec.Raw(_NULL)
    entity_sub_type: msgspec.Raw = msgspec.Raw(_NULL)


class FunctionSpec(msgspec.Struct, rename="camel"):
    """One function of a version."""

    name: str
    display_name: str | None = None
    description: str | None = None
    is_private: bool | None = None
    inputs: tuple[VariableSpec, ...] | None = None
    output: VariableSpec | None = None
    example: msgspec.Raw = msgspec.Raw(_NULL)


def engine_function(function: FunctionSpec) -> Function:
    """Return a function as the engine has it."""
    return Function(
        name=function.name,
        entrypoint=f"main:{function.name}",
        # a function that declares no inputs takes what it gets
        convention=Convention.PARAMETERS if function.inputs else Convention.KEYWORDS,
        parameters=_parameters(function.inputs or ()),
        output=_declared(function.output) if function.output is not None else None,
        display_name=function.display_name or "",
        description=function.description or "",
        private=bool(function.is_private) or function.name.startswith("_"),
    )


def _parameters(variables: tuple[VariableSpec, ...]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name=variable.name or "",
            declared=_declared(variable),
            default=_default(variable),
            display_name=variable.display_name or "",
        )
        for variable in variables
    )


def _default(variable: VariableSpec) -> bytes | None:
    """Return a default; the only item of a list stands for a value that is no list."""
    text = bytes(variable.default_values).strip()
    if text.startswith(b"[") and not (variable.is_list or variable.list):
        items = parsed(text, list[msgspec.Raw], f"the default of {variable.name}")
        if len(items) < 2:
            return bytes(items[0]) if items else None
    return None if text == _NULL else text


def _declared(variable: VariableSpec) -> DeclaredType:
    return DeclaredType(
        type=_SPELLED.get((variable.type or "").lower(), variable.type or ""),
        is_list=bool(variable.is_list or variable.list),
        nullable=bool(variable.nullable or variable.allow_null),
        children=_parameters(variable.children or ()),
    )


def shown_function(function: FunctionSpec) -> dict[str, Any]:
    """Return a function as the contract keeps and shows it."""
    return {
        "name": function.name,
        "displayName": function.display_name,
        "description": function.description,
        "isPrivate": bool(function.is_private),
        "inputs": [_shown(variable) for variable in function.inputs or ()],
        "output": _shown(function.output) if function.output is not None else None,
        "hasReturn": function.output is not None,
        "example": function.example,
    }


def _shown(variable: VariableSpec) -> dict[str, Any]:
    declared = _declared(variable)
    return {
        "name": variable.name or "",
        "displayName": variable.display_name,
        "type": declared.type,
        "isList": declared.is_list,
        "nullable": declared.nullable,
        "children": None if variable.children is None else [_shown(child) for child in variable.children],
        "defaultValues": msgspec.Raw(_default(variable) or _NULL),
        "entitySubType": variable.entity_sub_type,
    }
