"""Values that stand behind names: constants of a module, members of an Enum."""

from __future__ import annotations

import ast
from typing import Any

from polycall.engine.signatures.kinds import Kind, kind_of
from polycall.engine.signatures.literals import UNKNOWN, json_literal
from polycall.engine.signatures.modules import Alias, ClassType, Module, Modules, Outside

__all__ = ["constant", "enum_members"]


def enum_members(modules: Modules, class_type: ClassType) -> dict[str, Any] | None:
    """Return the values of an Enum's members by name; None if one of them cannot be read."""
    text = kind_of(modules, class_type) is Kind.TEXT_ENUM
    members: dict[str, Any] = {}
    for line in class_type.node.body:
        if not isinstance(line, ast.Assign):
            continue
        for target in line.targets:
            if not isinstance(target, ast.Name):
                return None
            name = target.id
            if name.startswith("_"):  # _ignore_, __order__, private names
                continue
            value = _automatic(modules, class_type.module, name, line.value, members, text=text)
            if value is UNKNOWN:
                value = constant(modules, class_type.module, line.value)
            if value is UNKNOWN or isinstance(value, list | dict):
                return None
            members[name] = value
    return members


def constant(modules: Modules, module: Module, node: ast.expr | None) -> Any:
    """Return the JSON value of a literal, of a name bound to one once, of an Enum's member; UNKNOWN for all else."""
    value = json_literal(node)
    if value is not UNKNOWN or not isinstance(node, ast.Name | ast.Attribute):
        return value
    symbol = modules.resolve(module, node)
    if isinstance(symbol, Alias) and symbol.module.assigned[symbol.name] == 1:
        return json_literal(symbol.value)
    if isinstance(node, ast.Attribute) and isinstance(symbol, Outside):
        member = node.value if node.attr == "value" and isinstance(node.value, ast.Attribute) else node
        owner = modules.resolve(module, member.value)
        if isinstance(owner, ClassType) and kind_of(modules, owner) in (Kind.ENUM, Kind.TEXT_ENUM):
            return (enum_members(modules, owner) or {}).get(member.attr, UNKNOWN)
    return UNKNOWN


def _automatic(
    modules: Modules, module: Module, name: str, node: ast.expr, before: dict[str, Any], *, text: bool
) -> Any:
    """Return the value of ``auto()``; UNKNOWN for anything else."""
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return UNKNOWN
    symbol = modules.resolve(module, node.func)
    if not isinstance(symbol, Outside) or symbol.name != "auto":
        return UNKNOWN
    if text:
        return name.lower()
    numbers = [value for value in before.values() if type(value) is int]
    return max(numbers, default=0) + 1 if len(numbers) == len(before) else UNKNOWN
