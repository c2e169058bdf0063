"""JSON Schema (2020-12) from type hints, read from the syntax tree; nothing is evaluated.

Hints that JSON cannot express, and those that are not known, become ``{}``: any value, with a note. Classes of the
source that describe data are followed, in whatever module of it they are.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polycall.engine.signatures import known
from polycall.engine.signatures.constants import constant
from polycall.engine.signatures.constraints import FIELD_CALLS, KEYWORDS, POSITIONAL, constrain
from polycall.engine.signatures.definitions import reference
from polycall.engine.signatures.kinds import FUNCTIONAL, Kind, kind_of
from polycall.engine.signatures.ledger import Budget, Ledger
from polycall.engine.signatures.literals import UNKNOWN, json_literal, text_of
from polycall.engine.signatures.modules import Alias, ClassType, Module, Modules, Outside, Symbol
from polycall.engine.signatures.report import Note

__all__ = ["Place", "Schemas", "Type"]

Schema = dict[str, Any]

_DEPTH = 16  # nested hints; people write three
_LONGEST_TEXT = 1000  # characters of a hint that is written as text


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hint stands: its module, and what the type parameters there stand for."""

    module: Module
    types: Mapping[str, Type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Type:
    """A hint and where it stands."""

    hint: ast.expr
    place: Place


class Schemas:
    """The schemas of one function, with the definitions that they refer to."""

    def __init__(self, modules: Modules, budget: Budget) -> None:
        self.modules = modules
        self.ledger: Ledger[tuple[ClassType | Alias, Place]] = Ledger()
        self.unread = False
        self._budget = budget
        self._open: dict[tuple[Module, str], str | None] = {}  # aliases being followed: they may lead back
        self._at: tuple[Module, ast.AST] | None = None

    def of(self, hint: ast.expr | None, place: Place, at: ast.AST | None = None) -> Schema:
        """Return the schema of a hint; ``{}`` without one. ``at``: what notes are about."""
        if hint is None:
            return {}
        self._at = (place.module, at or hint)
        try:
            return self._of(hint, place, 0)
        except RecursionError:
            return self._any("is nested too deeply")

    def next_definition(self) -> tuple[str, ClassType | Alias, Place] | None:
        """Return a definition that is referred to and not written yet; None when there are no more."""
        found = self.ledger.next()
        if found is None:
            return None
        name, (symbol, place) = found
        self._at = (symbol.module, symbol.node if isinstance(symbol, ClassType) else symbol.value)
        return name, symbol, place

    def note(self, message: str, at: tuple[Module, ast.AST] | None = None, *, unread: bool = False) -> None:
        """Say that something could not be said. ``unread``: an import could tell."""
        self.unread = self.unread or unread
        where = at or self._at
        if where is not None:
            module, node = where
            line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
            self.ledger.note(Note(module.path, line, column, message.encode(errors="replace").decode()))

    def affordable(self, value: Any) -> bool:
        """Return whether a value is short enough to be written into a schema."""
        return self._budget.affordable(value)

    def said_by(self, call: ast.expr, module: Module) -> dict[str, Any]:
        """Return what the call of a field function, or the metadata of Annotated, says."""
        text = json_literal(call)
        if isinstance(text, str):
            return {"description": text} if self.affordable(text) else {}
        if not isinstance(call, ast.Call):
            return {}
        symbol = self.modules.resolve(module, call.func)
        name = symbol.name if isinstance(symbol, Outside) else ""
        said: dict[str, Any] = {}
        if name in POSITIONAL and call.args:
            said[KEYWORDS[POSITIONAL[name]]] = constant(self.modules, module, call.args[0])
        if name in FIELD_CALLS or name in POSITIONAL or name in known.CONSTRAINED:
            for keyword in call.keywords:
                if keyword.arg in KEYWORDS:
                    said[KEYWORDS[keyword.arg]] = constant(self.modules, module, keyword.value)
                elif keyword.arg == "json_schema_extra" and isinstance(extra := json_literal(keyword.value), dict):
                    said.update((key, value) for key, value in extra.items() if key in ("examples", "title"))
        return {key: value for key, value in said.items() if value is not UNKNOWN and self.affordable(value)}

    # within

    def _any(self, why: str, *, unread: bool = False) -> Schema:
        self.note(f"{why}: any value", unread=unread)
        return {}

    def _of(self, hint: ast.expr, place: Place, depth: int) -> Schema:
        if depth > _DEPTH:
            return self._any("is nested too deeply")
        if not self._budget.spend(16):
            return self._any("the schemas of this module are too large")
        if isinstance(hint, ast.Constant):
            return self._constant(hint.value, place, depth)
        if isinstance(hint, ast.BinOp) and isinstance(hint.op, ast.BitOr):
            return self._union(_operands(hint), place, depth)
        if isinstance(hint, ast.Subscript):
            arguments = list(hint.slice.elts) if isinstance(hint.slice, ast.Tuple) else [hint.slice]
            return self._generic(hint.value, arguments, place, depth)
        if isinstance(hint, ast.Call):
            return self._call(hint, place, depth)
        if isinstance(hint, ast.Name) and hint.id in place.types:
            bound = place.types[hint.id]
            return self._of(bound.hint, bound.place, depth + 1)
        symbol = self.modules.resolve(place.module, hint)
        if symbol is None:
            return self._any("is not a type hint that can be read")
        return self._symbol(symbol, [], place, depth)

    def _constant(self, value: object, place: Place, depth: int) -> Schema:
        if value is None:
            return {"type": "null"}
        if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
            try:
                return self._of(ast.parse(value.strip(), mode="eval").body, place, depth + 1)
            except (SyntaxError, ValueError, MemoryError):
                pass
        return self._any("is not a type hint that can be read")

    def _symbol(self, symbol: Symbol, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        if isinstance(symbol, ClassType):
            return self._class(symbol, arguments, place)
        if isinstance(symbol, Alias):
            return self._alias(symbol, arguments, place, depth)
        name = known.known_name(symbol)
        schema = known.scalar(name) if name else None
        if schema is not None:
            return schema
        dotted = f"{symbol.module}.{symbol.name}" if symbol.module else symbol.name
        if name in ("Callable", "Type", "type"):
            return self._any(f"{dotted} is nothing that JSON holds")
        return self._any(f"{dotted} is not known", unread=not known.of_stdlib(symbol))

    def _generic(self, base: ast.expr, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        symbol = self.modules.resolve(place.module, base)
        if symbol is None:
            return self._any("is not a type hint that can be read")
        name = known.known_name(symbol) if isinstance(symbol, Outside) else ""
        if name == "Optional":
            return self._union([*arguments, ast.Constant(None)], place, depth)
        if name == "Union":
            return self._union(arguments, place, depth)
        if name == "Literal":
            return self._literal(arguments, place)
        if name == "Annotated" and arguments:
            return self._annotated(arguments, place, depth)
        if name in known.AWAITABLES and arguments:
            return self._of(arguments[-1], place, depth + 1)
        if name in known.TRANSPARENT and arguments:
            return self._of(arguments[0], place, depth + 1)
        if name in known.OBJECTS:
            return self._mapping(name, arguments, place, depth)
        if name in known.ARRAYS and arguments:
            return self._array(arguments[0], place, depth)
        if name in known.TUPLES:
            return self._tuple(arguments, place, depth)
        return self._symbol(symbol, arguments, place, depth)

    def _mapping(self, name: str, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        schema: Schema = {"type": "object"}
        if name == "Counter":
            schema["additionalProperties"] = {"type": "integer"}
        elif len(arguments) == 2:
            names = self._of(arguments[0], place, depth + 1)
            if "enum" in names or "pattern" in names or "minLength" in names or "maxLength" in names:
                schema["propertyNames"] = names
            if values := self._of(arguments[1], place, depth + 1):
                schema["additionalProperties"] = values
        return schema

    def _array(self, item: ast.expr, place: Place, depth: int) -> Schema:
        items = self._of(item, place, depth + 1)
        return {"type": "array", **({"items": items} if items else {})}

    def _tuple(self, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        if not arguments:
            return {"type": "array", "maxItems": 0}
        if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is ...:
            return self._array(arguments[0], place, depth)
        if any(isinstance(argument, ast.Starred) for argument in arguments):
            return {"type": "array"}
        items = [self._of(argument, place, depth + 1) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _union(self, members: list[ast.expr], place: Place, depth: int) -> Schema:
        options: dict[str, Schema] = {}
        for member in members:
            schema = self._of(member, place, depth + 1)
            if not schema:
                return {}  # any value, whatever the others say
            nested = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
            options.update((text_of(option), option) for option in nested)
        return next(iter(options.values())) if len(options) == 1 else {"anyOf": list(options.values())}

    def _literal(self, arguments: list[ast.expr], place: Place) -> Schema:
        values: list[Any] = []
        for argument in arguments:
            if isinstance(argument, ast.Subscript):  # Literal within Literal
                inner = argument.slice
                nested = self._literal(list(inner.elts) if isinstance(inner, ast.Tuple) else [inner], place)
                values += nested.get("enum", [])
                continue
            value = constant(self.modules, place.module, argument)
            if value is UNKNOWN:
                return self._any("a value of this Literal is nothing that JSON holds")
            values.append(value)
        return self.enumeration(values)

    def enumeration(self, values: list[Any]) -> Schema:
        """Return the schema of one of some values."""
        distinct = list({text_of(value): value for value in values}.values())
        if not distinct or not self.affordable(distinct):
            return self._any("has no values, or too many to list")
        return {"enum": distinct}

    def _annotated(self, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        schema = self._of(arguments[0], place, depth + 1)
        for extra in arguments[1:]:
            schema = constrain(schema, self.said_by(extra, place.module))
        return schema

    def _call(self, call: ast.Call, place: Place, depth: int) -> Schema:
        symbol = self.modules.resolve(place.module, call.func)
        name = known.known_name(symbol) if isinstance(symbol, Outside) else ""
        said = self.said_by(call, place.module)
        if name in known.CONSTRAINED:
            return constrain(known.scalar(known.CONSTRAINED[name]) or {}, said)
        if name in ("conlist", "conset", "confrozenset") and call.args:
            lengths = {
                KEYWORDS[keyword.arg]: constant(self.modules, place.module, keyword.value)
                for keyword in call.keywords
                if keyword.arg in KEYWORDS
            }
            return constrain(self._array(call.args[0], place, depth), lengths)
        return self._any("is not a type hint that can be read", unread=True)

    def _alias(self, alias: Alias, arguments: list[ast.expr], place: Place, depth: int) -> Schema:
        key = (alias.module, alias.name)
        if key in self._open:
            again = self._open[key] or self.ledger.name(key, alias.name)
            self._open[key] = again
            return reference(again)
        types = {
            parameter: self._bound(argument, place)
            for parameter, argument in zip(alias.parameters, arguments, strict=False)
        }
        self._open[key] = None
        try:
            schema = self._aliased(alias, Place(alias.module, types), depth)
            name = self._open[key]
        finally:
            del self._open[key]
        if name is None:
            return schema
        itself = reference(name)
        if "anyOf" in schema:
            options = [option for option in schema["anyOf"] if option != itself]
            schema = options[0] if len(options) == 1 else {"anyOf": options}
        self.ledger.define(name, schema)
        return itself

    def _aliased(self, alias: Alias, place: Place, depth: int) -> Schema:
        value = alias.value
        if isinstance(value, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp | ast.Constant):
            return self._of(value, place, depth + 1)
        if not isinstance(value, ast.Call):
            return self._any(f"{alias.name} is not a type that can be read")
        symbol = self.modules.resolve(alias.module, value.func)
        made = known.known_name(symbol) if isinstance(symbol, Outside) else ""
        if made in ("NewType", "TypeAliasType") and len(value.args) >= 2:
            return self._of(value.args[1], place, depth + 1)
        if made == "TypeVar":
            bound = next((keyword.value for keyword in value.keywords if keyword.arg in ("bound", "default")), None)
            if bound is not None:
                return self._of(bound, place, depth + 1)
            return self._union(value.args[1:], place, depth) if len(value.args) > 2 else {}
        if made in known.CONSTRAINED or made in ("conlist", "conset", "confrozenset"):
            return self._call(value, place, depth)
        if made in FUNCTIONAL:
            return self._refer(value, alias.name, alias, place)
        return self._any(f"{alias.name} is made by code that would have to run", unread=True)

    def _class(self, class_type: ClassType, arguments: list[ast.expr], place: Place) -> Schema:
        kind = kind_of(self.modules, class_type)
        if kind is None:
            return self._any(f"{class_type.node.name} is not a class that describes data")
        if kind is Kind.UNKNOWN:
            return self._any(f"{class_type.node.name} derives from what is not in the source", unread=True)
        bound = [self._bound(argument, place) for argument in arguments]
        parameters = self.parameters(class_type)
        types = dict(zip(parameters, bound, strict=False))
        key = (class_type.node, tuple(ast.dump(types[name].hint) for name in types))
        name = "_".join([class_type.node.name, *(_word(bound.hint) for bound in types.values())])
        return self._refer(key, name, class_type, Place(class_type.module, types))

    def _refer(self, key: object, wanted: str, symbol: ClassType | Alias, place: Place) -> Schema:
        found = self.ledger.refer(key, wanted, (symbol, place))
        return self._any("has too many classes") if found is None else found

    def parameters(self, class_type: ClassType) -> list[str]:
        """Return the names of a class's type parameters."""
        names = [parameter.name for parameter in getattr(class_type.node, "type_params", ())]
        for base in class_type.node.bases:
            if isinstance(base, ast.Subscript):
                symbol = self.modules.resolve(class_type.module, base.value)
                if isinstance(symbol, Outside) and symbol.name in ("Generic", "Protocol"):
                    inner = base.slice.elts if isinstance(base.slice, ast.Tuple) else [base.slice]
                    names += [item.id for item in inner if isinstance(item, ast.Name)]
        return names

    def _bound(self, argument: ast.expr, place: Place) -> Type:
        """Return an argument of a generic type, in terms of the place where it is written."""
        if isinstance(argument, ast.Name) and argument.id in place.types:
            return place.types[argument.id]
        return Type(argument, place)

    def bases(self, class_type: ClassType, place: Place) -> list[tuple[ClassType, Place]]:
        """Return the base classes that are in the source, the last first, as fields are inherited."""
        found = []
        for base in reversed(class_type.node.bases):
            arguments: list[ast.expr] = []
            named = base
            if isinstance(base, ast.Subscript):
                named = base.value
                arguments = list(base.slice.elts) if isinstance(base.slice, ast.Tuple) else [base.slice]
            symbol = self.modules.resolve(class_type.module, named)
            if isinstance(symbol, ClassType):
                bound = [self._bound(argument, place) for argument in arguments]
                types = dict(zip(self.parameters(symbol), bound, strict=False))
                found.append((symbol, Place(symbol.module, types)))
        return found


def _operands(union: ast.BinOp) -> list[ast.expr]:
    """Return the members of ``A | B | C``, which nests to the left."""
    members: list[ast.expr] = []
    node: ast.expr = union
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        members.append(node.right)
        node = node.left
    return [node, *reversed(members)]


def _word(hint: ast.expr) -> str:
    """Return a word for a hint, as part of a definition's name."""
    if isinstance(hint, ast.Name):
        return hint.id
    if isinstance(hint, ast.Attribute):
        return hint.attr
    if isinstance(hint, ast.Subscript):
        return _word(hint.value)
    return "of"
