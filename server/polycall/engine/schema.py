"""JSON Schema (2020-12) from type hints, read from the syntax tree; nothing is evaluated. Standard library only.

Hints that JSON cannot express, and those we do not know, become ``{}``: any value. Classes of the same module that
describe data (TypedDict, dataclass, pydantic's BaseModel, Enum) and aliases are followed.
"""

from __future__ import annotations

import ast
import json
import math
from typing import Any

__all__ = ["NO_DEFAULT", "Schemas", "json_literal"]

Schema = dict[str, Any]

NO_DEFAULT = object()
_DEPTH = 16  # nested hints; people write three
_SIZE = 256 * 1024  # characters of all schemas of a module: a class may be used many times, and its uses multiply
_LITERAL_SIZE = 8 * 1024  # characters of one default or enumeration; a longer one is left out

_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
_OBJECTS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"}
_ARRAYS = {
    *("list", "List", "set", "Set", "frozenset", "FrozenSet", "deque", "Deque"),
    *("Sequence", "MutableSequence", "Iterable", "Collection", "AbstractSet", "MutableSet"),
}
_TUPLES = {"tuple", "Tuple"}
_TRANSPARENT = {"Final", "ClassVar", "Required", "NotRequired", "ReadOnly"}
_ENUMS = {"Enum", "IntEnum", "StrEnum"}
_RECORD_BASES = {"TypedDict", "BaseModel"}


def json_literal(node: ast.expr | None) -> Any:
    """Return the value of a literal that JSON can hold; NO_DEFAULT for anything else."""
    try:
        value = ast.literal_eval(node) if node is not None else NO_DEFAULT
        return NO_DEFAULT if value is NO_DEFAULT else _plain(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return NO_DEFAULT


def _plain(value: Any) -> Any:
    """Return the value as JSON would hold it. Raises ValueError if JSON cannot."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {_plain(name): _plain(item) for name, item in value.items()}
    raise ValueError("not JSON")


class Schemas:
    """The schemas of one module. ``size`` left is shared by all of them."""

    def __init__(self, module: ast.Module) -> None:
        self._names = _imported_names(module)
        self._classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
        self._aliases = _aliases(module)
        self._left = _SIZE
        self._open: list[str] = []  # classes and aliases being followed: they may lead back to themselves

    def of(self, hint: ast.expr | None) -> Schema:
        """Return the schema of a hint; ``{}`` without one."""
        try:
            return self._of(hint, 0)
        except RecursionError:
            return {}

    def of_parameter(self, hint: ast.expr | None, default: ast.expr | None, description: str = "") -> Schema:
        """Return the schema of a parameter or member, with its default and description."""
        schema = dict(self.of(hint))
        if description and self._spend(len(description)):
            schema.setdefault("description", description)
        value = json_literal(default)
        if value is not NO_DEFAULT and self._affordable(value):
            schema["default"] = value
        return schema

    # within

    def _spend(self, characters: int) -> bool:
        self._left -= characters
        return self._left >= 0

    def _affordable(self, value: Any) -> bool:
        text = _text(value)
        return 0 < len(text) <= _LITERAL_SIZE and self._spend(len(text))

    def _of(self, hint: ast.expr | None, depth: int) -> Schema:
        if hint is None or depth > _DEPTH or not self._spend(16):
            return {}
        if isinstance(hint, ast.Constant):
            return self._constant(hint.value, depth)
        if isinstance(hint, ast.BinOp) and isinstance(hint.op, ast.BitOr):
            return self._union(_operands(hint), depth)
        if isinstance(hint, ast.Subscript):
            arguments = list(hint.slice.elts) if isinstance(hint.slice, ast.Tuple) else [hint.slice]
            return self._generic(self._name(hint.value), arguments, depth)
        return self._named(self._name(hint), depth)

    def _constant(self, value: object, depth: int) -> Schema:
        if value is None:
            return {"type": "null"}
        if isinstance(value, str) and len(value) <= 1000:
            try:
                return self._of(ast.parse(value.strip(), mode="eval").body, depth + 1)
            except (SyntaxError, ValueError, MemoryError):
                return {}
        return {}

    def _name(self, node: ast.expr) -> str:
        """Return the last part of a dotted name, under the name it had before it was imported."""
        if isinstance(node, ast.Name):
            known = node.id in self._classes or node.id in self._aliases
            return node.id if known else self._names.get(node.id, node.id)
        return node.attr if isinstance(node, ast.Attribute) else ""

    def _named(self, name: str, depth: int) -> Schema:
        if name in self._open:
            return {"type": "object"} if name in self._classes else {}
        if name in self._classes or name in self._aliases:
            self._open.append(name)
            try:
                if name in self._classes:
                    return self._class(self._classes[name], depth)
                return self._of(self._aliases[name], depth + 1)
            finally:
                self._open.pop()
        if name in _SCALARS:
            return {"type": _SCALARS[name]}
        if name in _OBJECTS:
            return {"type": "object"}
        if name in _ARRAYS or name in _TUPLES:
            return {"type": "array"}
        return {}

    def _generic(self, name: str, arguments: list[ast.expr], depth: int) -> Schema:
        if not arguments:  # tuple[()]
            return {"type": "array", "maxItems": 0} if name in _TUPLES else {}
        if name == "Optional":
            return self._union([*arguments, ast.Constant(None)], depth)
        if name == "Union":
            return self._union(arguments, depth)
        if name == "Literal":
            return self._literal(arguments)
        if name == "Annotated":
            return self._annotated(arguments, depth)
        if name in _TRANSPARENT:
            return self._of(arguments[0], depth + 1)
        if name in _OBJECTS:
            values = self._of(arguments[1], depth + 1) if len(arguments) == 2 else {}
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        if name in _ARRAYS:
            return self._array(arguments[0], depth)
        if name in _TUPLES:
            return self._tuple(arguments, depth)
        return self._named(name, depth)

    def _array(self, item: ast.expr, depth: int) -> Schema:
        items = self._of(item, depth + 1)
        return {"type": "array", **({"items": items} if items else {})}

    def _tuple(self, arguments: list[ast.expr], depth: int) -> Schema:
        if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is ...:
            return self._array(arguments[0], depth)
        items = [self._of(argument, depth + 1) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _union(self, members: list[ast.expr], depth: int) -> Schema:
        options: dict[str, Schema] = {}
        for member in members:
            schema = self._of(member, depth + 1)
            if not schema:
                return {}  # any value, whatever the others say
            nested = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
            options.update((_text(option), option) for option in nested)
        return next(iter(options.values())) if len(options) == 1 else {"anyOf": list(options.values())}

    def _literal(self, arguments: list[ast.expr]) -> Schema:
        values: list[Any] = []
        for argument in arguments:
            if isinstance(argument, ast.Subscript) and self._name(argument.value) == "Literal":
                inner = argument.slice
                nested = self._literal(list(inner.elts) if isinstance(inner, ast.Tuple) else [inner])
                values += nested.get("enum", [])
                continue
            value = json_literal(argument)
            if value is NO_DEFAULT:
                return {}  # bytes, or a member of an Enum
            values.append(value)
        return self._enumeration(values)

    def _enumeration(self, values: list[Any]) -> Schema:
        return {"enum": values} if values and self._affordable(values) else {}

    def _annotated(self, arguments: list[ast.expr], depth: int) -> Schema:
        schema = dict(self._of(arguments[0], depth + 1))
        for extra in arguments[1:]:
            if isinstance(extra, ast.Call):  # pydantic's Field(description="..."), typing_extensions' Doc("...")
                named = [k.value for k in extra.keywords if k.arg == "description"]
                extra = (named or (extra.args if self._name(extra.func) == "Doc" else []) or [extra])[0]
            text = json_literal(extra)
            if isinstance(text, str) and self._spend(len(text)):
                schema["description"] = text
        return schema

    def _class(self, node: ast.ClassDef, depth: int) -> Schema:
        bases = {self._name(base) for base in node.bases}
        if bases & _ENUMS:
            return self._enum_class(node)
        members = self._members(node, depth, set())
        if members is None:
            return {}
        properties = {name: schema for name, (schema, _) in members.items()}
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name, (_, required) in members.items() if required],
        }

    def _enum_class(self, node: ast.ClassDef) -> Schema:
        values = [json_literal(line.value) for line in node.body if isinstance(line, ast.Assign)]
        return {} if NO_DEFAULT in values else self._enumeration(values)

    def _members(self, node: ast.ClassDef, depth: int, seen: set[str]) -> dict[str, tuple[Schema, bool]] | None:
        """Return the fields of a class that describes data, inherited ones first; None for any other class."""
        seen.add(node.name)
        known = any(self._name(d.func if isinstance(d, ast.Call) else d) == "dataclass" for d in node.decorator_list)
        fields: dict[str, tuple[Schema, bool]] = {}
        for base in node.bases:
            name = self._name(base)
            known = known or name in _RECORD_BASES
            if name in self._classes and name not in seen:
                inherited = self._members(self._classes[name], depth, seen)
                known = known or inherited is not None
                fields |= inherited or {}
        if not known:
            return None
        total = not any(
            k.arg == "total" and isinstance(k.value, ast.Constant) and k.value.value is False for k in node.keywords
        )
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                marker = self._name(line.annotation.value) if isinstance(line.annotation, ast.Subscript) else ""
                if marker == "ClassVar":
                    continue
                schema = dict(self._of(line.annotation, depth + 1))
                value = json_literal(line.value)
                if value is not NO_DEFAULT and self._affordable(value):
                    schema["default"] = value
                required = marker == "Required" or (total and line.value is None and marker != "NotRequired")
                fields[line.target.id] = (schema, required)
        return fields


def _operands(union: ast.BinOp) -> list[ast.expr]:
    """Return the members of ``A | B | C``, which nests to the left."""
    members: list[ast.expr] = []
    node: ast.expr = union
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        members.append(node.right)
        node = node.left
    return [node, *reversed(members)]


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except ValueError:  # an integer of more digits than Python writes
        return ""


def _imported_names(module: ast.Module) -> dict[str, str]:
    return {
        name.asname: name.name
        for node in module.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname
    }


def _aliases(module: ast.Module) -> dict[str, ast.expr]:
    """Return ``Name = hint``, ``Name: TypeAlias = hint`` and ``Name = NewType("Name", hint)``."""
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(value, ast.Call) and len(value.args) == 2 and getattr(value.func, "id", "") == "NewType":
            value = value.args[1]
        if isinstance(target, ast.Name) and isinstance(value, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp):
            found[target.id] = value
    return found
