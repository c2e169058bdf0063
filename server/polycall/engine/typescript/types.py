"""JSON Schema (2020-12) from TypeScript types, read from the syntax tree; nothing is evaluated.

A value is what JSON makes of it: a ``Date`` is the text that it becomes, ``undefined`` is a member that is not there.
Types that JSON cannot express, and those that are not in the source, become ``{}``: any value, with a note.
"""

from __future__ import annotations

import re
from typing import Any

from tree_sitter import Node

from polycall.engine.signatures.ledger import Budget, Ledger
from polycall.engine.signatures.literals import text_of
from polycall.engine.signatures.report import Note
from polycall.engine.typescript.jsdoc import Doc, Param, comment_before, read_doc, typedefs
from polycall.engine.typescript.places import Bound, Place, bound, operands, parameters
from polycall.engine.typescript.scripts import Found, Scope, Scripts, text_of_node, type_in
from polycall.engine.typescript.shapes import DEEPEST, UNDEFINED, Shape, Shapes, merged
from polycall.engine.typescript.values import UNKNOWN, literal, parsed

__all__ = ["Types"]

Schema = dict[str, Any]

_PREDEFINED = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "any": {},
    "unknown": {},
    "void": UNDEFINED,
    "undefined": UNDEFINED,
    "null": {"type": "null"},
}
_GLOBAL = {
    "String": {"type": "string"},
    "Number": {"type": "number"},
    "Boolean": {"type": "boolean"},
    "Object": {"type": "object"},
    "Array": {"type": "array"},
    "Date": {"type": "string", "format": "date-time"},
    "URL": {"type": "string", "format": "uri"},
    "Record": {"type": "object"},
    "integer": {"type": "integer"},  # as JSDoc comments have it
    "int": {"type": "integer"},
    "float": {"type": "number"},
}
_ARRAYS = {"Array", "ReadonlyArray", "Iterable", "ArrayLike"}
_DECLARED = {
    *("type_alias_declaration", "interface_declaration", "enum_declaration"),
    *("class_declaration", "abstract_class_declaration"),
}
_LARGE = ("object_type", "intersection_type", "union_type")  # aliases of them are definitions, not written twice
_AWAITED = {"Promise", "PromiseLike", "Awaited"}
_SAME = {"Readonly", "NonNullable", "NoInfer"}
# what the tags of a comment say, in the words that many tools know
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems")
_TEXTS = ("format", "pattern", "title")


class Types:
    """The schemas of one function, with the definitions that they refer to."""

    def __init__(self, scripts: Scripts, budget: Budget) -> None:
        self.ledger: Ledger[tuple[object, Bound]] = Ledger()
        self._open: set[object] = set()  # aliases being followed: they may lead back
        self._scripts = scripts
        self._budget = budget
        self.depth = 0
        self._shapes = Shapes(self, scripts, budget)
        self._typedefs: dict[Scope, dict[str, Doc]] = {}

    def of(self, node: Node | None, place: Place) -> Schema:
        """Return the schema of a type; ``{}`` without one. UNDEFINED, if it is one that JSON leaves out."""
        if node is None:
            return {}
        if self.depth >= DEEPEST or not self._budget.spend(16):
            return self.any_value(node, place, "is nested too deeply, or the schemas of this module are too large")
        self.depth += 1
        try:
            return self._of(node, place)
        finally:
            self.depth -= 1

    def written(self, text: str, place: Place, at: Node) -> Schema:
        """Return the schema of a type that stands in a comment."""
        node = type_in(text)
        return (
            self.of(node, place)
            if node is not None
            else self.any_value(at, place, f"{text} is no type that can be read")
        )

    def complete(self) -> None:
        """Write every definition that the schemas refer to."""
        while (found := self.ledger.next()) is not None:
            name, (key, source) = found
            self._open.add(key)  # one that leads back to itself refers to itself
            schema = self._declared(source.node, source.place)
            self._open.remove(key)
            self.ledger.define(name, {} if schema is UNDEFINED else schema)

    def described(self, schema: Schema, doc: Doc) -> Schema:
        """Return a schema with what a comment says of its value."""
        more: Schema = {}
        if doc.description and self._budget.spend(len(doc.description)):
            more["description"] = doc.description
        for name in (*_NUMBERS, *_LENGTHS):
            value = parsed(doc.tags.get(name, ""))
            if type(value) in (int, float) and (name in _NUMBERS or type(value) is int):
                more[name] = value
        more |= {name: doc.tags[name] for name in _TEXTS if doc.tags.get(name)}
        if "deprecated" in doc.tags:
            more["deprecated"] = True
        if (value := parsed(doc.tags.get("default", ""))) is not UNKNOWN and self._budget.affordable(value):
            more["default"] = value
        return {**schema, **more}

    def documented(self, params: list[Param], prefix: str, place: Place, at: Node) -> Shape:
        """Return the object whose members are documented as ``prefix.name``, or as ``name`` for no prefix."""
        shape = Shape()
        for param in params:
            name = param.name.removeprefix(f"{prefix}.") if prefix else param.name
            if (prefix and name == param.name) or not name or "." in name:
                continue
            schema = self.written(param.type, place, at) if param.type else {}
            if param.description:
                schema = {**schema, "description": param.description}
            value = parsed(param.default)
            if value is not UNKNOWN and self._budget.affordable(value):
                schema = {**schema, "default": value}
            shape.members[name] = (schema, not param.optional)
        return shape

    def any_value(self, node: Node, place: Place, why: str) -> Schema:
        """Return the schema of any value, and note why it is that."""
        row, column = node.start_point
        message = f"{why}: any value".encode(errors="replace").decode()
        self.ledger.note(Note(place.scope.path, row + 1, column + 1, message))
        return {}

    # within

    def _of(self, node: Node, place: Place) -> Schema:
        kind = node.type
        if kind in (
            "type_annotation",
            "parenthesized_type",
            "readonly_type",
            "constraint",
            "default_type",
            "optional_type",
        ):
            inner = node.named_child(0)
            return self.of(inner, place)
        if kind == "predefined_type":
            text = text_of_node(node)
            return (
                _PREDEFINED[text]
                if text in _PREDEFINED
                else self.any_value(node, place, f"{text} is nothing that JSON holds")
            )
        if kind == "literal_type":
            value = literal(node.named_child(0))
            if text_of_node(node) == "undefined":
                return UNDEFINED
            if value is None:
                return {"type": "null"}
            return (
                self.any_value(node, place, "is no literal that JSON holds") if value is UNKNOWN else {"enum": [value]}
            )
        if kind == "template_literal_type":
            return {"type": "string"}
        if kind == "array_type":
            return self._array(node.named_child(0), place)
        if kind == "tuple_type":
            return self._tuple(node, place)
        if kind == "union_type":
            return self._union(list(operands(node)), place)
        if kind in ("object_type", "intersection_type", "interface_body"):
            return self._object(node, place)
        if kind in ("type_identifier", "identifier", "nested_type_identifier"):
            return self._named(node, node, [], place)
        if kind == "generic_type":
            arguments = [
                each for child in node.named_children if child.type == "type_arguments" for each in child.named_children
            ]
            named = node.child_by_field_name("name")
            return self._named(node, named, arguments, place) if named is not None else {}
        if kind == "lookup_type":
            return self._lookup(node, place)
        if kind == "index_type_query":
            inner = node.named_child(0)
            shape = self._shapes.of(inner, place) if inner is not None else None
            return (
                self._enumeration(list(shape.members), node, place)
                if shape is not None and shape.members
                else {"type": "string"}
            )
        if kind == "member_expression":  # import("./x.ts").Name
            return self._imported(node, place)
        if kind in (
            "function_type",
            "constructor_type",
            "this_type",
            "asserts_annotation",
            "type_predicate_annotation",
        ):
            return self.any_value(node, place, f"{text_of_node(node)[:60]} is nothing that JSON holds")
        return self.any_value(node, place, f"{text_of_node(node)[:60]} is no type that can be read")

    def _array(self, item: Node | None, place: Place) -> Schema:
        items = self.of(item, place)
        return {"type": "array", **({"items": items} if items and items is not UNDEFINED else {})}

    def _tuple(self, node: Node, place: Place) -> Schema:
        items: list[Schema] = []
        least, rest = 0, None
        for each in node.named_children:
            optional = each.type in ("optional_type", "optional_parameter")
            named = each.child_by_field_name("name")
            inner = each.child_by_field_name("type") if named is not None else each
            if each.type == "rest_type" or (named is not None and text_of_node(each).startswith("...")):
                rest = self.of(each.named_child(0) if each.type == "rest_type" else inner, place)
                continue
            schema = self.of(inner, place)
            schema = {} if schema is UNDEFINED else schema
            items.append({"title": text_of_node(named), **schema} if named is not None else schema)
            least += not optional
        schema = {"type": "array", "prefixItems": items, "minItems": least}
        if rest is None:
            return schema | {"maxItems": len(items)}
        more = rest.get("items") if rest.get("type") == "array" else None
        return schema | ({"items": more} if more else {})

    def _union(self, members: list[Node], place: Place) -> Schema:
        options: dict[str, Schema] = {}
        missing = False
        for member in members:
            schema = self.of(member, place)
            if schema is UNDEFINED:
                missing = True
            elif not schema:
                return {}  # any value, whatever the others say
            else:
                nested = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
                options.update((text_of(option), option) for option in nested)
        found = _joined(list(options.values()))
        if not found:
            return UNDEFINED if missing else {}
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _enumeration(self, values: list[Any], node: Node, place: Place) -> Schema:
        distinct = list({text_of(value): value for value in values}.values())
        if not distinct or not self._budget.affordable(distinct):
            return self.any_value(node, place, "has no values, or too many to list")
        return {"enum": distinct}

    def _object(self, node: Node, place: Place) -> Schema:
        shape = self._shapes.of(node, place)
        if shape is not None:
            return shape.schema()
        if node.type != "intersection_type":
            return {"type": "object"}
        parts = [schema for each in operands(node) if (schema := self.of(each, place)) and schema is not UNDEFINED]
        return parts[0] if len(parts) == 1 else {"allOf": parts} if parts else {}

    def _named(self, node: Node, name: Node | None, arguments: list[Node], place: Place) -> Schema:
        words = text_of_node(name).split(".")
        if len(words) == 1 and words[0] in place.types:
            known = place.types[words[0]]
            return self.of(known.node, known.place)
        found = self._scripts.find(place.scope, words)
        if found is not None:
            return self._found(node, words[-1], found, arguments, place)
        if len(words) == 1 and (doc := self._typedef(place.scope, words[0])) is not None:
            return self._documented(doc, place, node)
        return self._global(node, words, arguments, place)

    def _global(self, node: Node, words: list[str], arguments: list[Node], place: Place) -> Schema:
        name = words[0] if len(words) == 1 else ""
        if name in _AWAITED | _SAME and arguments:
            return self._changed(name, node, arguments, place)
        if name in _ARRAYS and arguments:
            return self._array(arguments[0], place)
        if name == "Record" and len(arguments) == 2:
            return self._record(node, arguments, place)
        if name in ("Partial", "Required", "Pick", "Omit") and arguments:
            shape = self._shapes.of(node, place)
            return shape.schema() if shape is not None else {"type": "object"}
        if name in ("Exclude", "Extract") and len(arguments) == 2:
            return self._filtered(node, arguments, place, keep=name == "Extract")
        if name in _GLOBAL:
            return _GLOBAL[name]
        return self.any_value(node, place, f"{'.'.join(words)} is not known")

    def _changed(self, name: str, node: Node, arguments: list[Node], place: Place) -> Schema:
        schema = self.of(arguments[0], place)
        if name == "NonNullable" and "anyOf" in schema:
            kept = [option for option in schema["anyOf"] if option != {"type": "null"}]
            return kept[0] if len(kept) == 1 else {"anyOf": kept}
        return schema

    def _record(self, node: Node, arguments: list[Node], place: Place) -> Schema:
        names, values = self.of(arguments[0], place), self.of(arguments[1], place)
        values = {} if values is UNDEFINED else values
        literals = names.get("enum")
        if literals and all(isinstance(name, str) for name in literals):
            return Shape(dict.fromkeys(literals, (values, True))).schema()
        return {"type": "object", **({"additionalProperties": values} if values else {})}

    def _filtered(self, node: Node, arguments: list[Node], place: Place, *, keep: bool) -> Schema:
        whole, other = (self.of(each, place).get("enum") for each in arguments)
        if whole is None or other is None:
            return self.of(arguments[0], place)
        return self._enumeration([value for value in whole if (value in other) is keep], node, place)

    def _found(self, node: Node, name: str, found: Found, arguments: list[Node], place: Place) -> Schema:
        first = found.nodes[0]
        given = [bound(argument, place) for argument in arguments]
        inner = Place(found.scope, dict(parameters(first, given, found.scope)))
        if first.type not in _DECLARED:
            return self.any_value(node, place, f"{name} is not a type")
        key = (found.scope.path, first.start_byte, tuple(text_of_node(each.node) for each in inner.types.values()))
        value = first.child_by_field_name("value")
        plain = first.type == "type_alias_declaration" and (value is None or value.type not in _LARGE)
        if plain and key not in self._open:
            self._open.add(key)
            try:
                return self.of(value, inner)
            finally:
                self._open.remove(key)
        wanted = "_".join([name, *(_word(each.node) for each in inner.types.values())])
        referred = self.ledger.refer(key, wanted, (key, Bound(first, inner)))
        return self.any_value(node, place, "has too many types") if referred is None else referred

    def _declared(self, node: Node, place: Place) -> Schema:
        doc = read_doc(comment_before(node))
        if node.type == "enum_declaration":
            return self.described(self._enum(node, place), doc)
        if node.type == "type_alias_declaration":
            return self.described(self.of(node.child_by_field_name("value"), place), doc)
        name = text_of_node(node.child_by_field_name("name"))
        # an interface may be declared in parts
        parts = [each for each in place.scope.declared.get(name, []) if each.type == "interface_declaration"]
        shape = merged([self._shapes.of(each, place) for each in (parts if node in parts else [node])])
        return self.described(shape.schema() if shape is not None else {"type": "object"}, doc)

    def _enum(self, node: Node, place: Place) -> Schema:
        values: list[Any] = []
        body = node.child_by_field_name("body")
        following: Any = 0
        for each in body.named_children if body is not None else ():
            if each.type == "comment":
                continue
            value = literal(each.child_by_field_name("value")) if each.type == "enum_assignment" else following
            if value is UNKNOWN:
                return self.any_value(each, place, "is a value that can only be computed")
            values.append(value)
            following = value + 1 if type(value) is int else UNKNOWN
        return self._enumeration(values, node, place)

    def _lookup(self, node: Node, place: Place) -> Schema:
        """Return the type of ``T["name"]``, or of ``typeof LIST[number]``."""
        of, index = node.named_child(0), node.named_child(1)
        if of is None or index is None:
            return {}
        if of.type == "parenthesized_type" and (inner := of.named_child(0)) is not None:
            of = inner
        if of.type == "type_query" and text_of_node(index) == "number":
            values = self._list(of.named_child(0), place)
            if values is not None:
                return self._enumeration(values, node, place)
        shape = self._shapes.of(of, place)
        name = literal(index.named_child(0)) if index.type == "literal_type" else UNKNOWN
        if shape is not None and isinstance(name, str) and name in shape.members:
            return shape.members[name][0]
        return self.any_value(node, place, f"{text_of_node(node)[:60]} is no type that can be read")

    def _list(self, name: Node | None, place: Place) -> list[Any] | None:
        """Return the values of ``const NAME = [...] as const``."""
        found = self._scripts.find(place.scope, text_of_node(name).split("."))
        value = found.nodes[0].child_by_field_name("value") if found is not None else None
        if value is not None and value.type == "as_expression":
            value = value.named_child(0)
        values = literal(value)
        return values if isinstance(values, list) else None

    def _imported(self, node: Node, place: Place) -> Schema:
        of, name = node.child_by_field_name("object"), text_of_node(node.child_by_field_name("property"))
        arguments = of.child_by_field_name("arguments") if of is not None else None
        specifier = literal(arguments.named_child(0)) if arguments is not None else UNKNOWN
        other = self._scripts.imported(place.scope, specifier) if isinstance(specifier, str) else None
        found = self._scripts.exported(other, name) if other is not None else None
        if found is not None:
            return self._found(node, name, found, [], place)
        if other is not None and (doc := self._typedef(other, name)) is not None:
            return self._documented(doc, Place(other), node)
        return self.any_value(node, place, f"{text_of_node(node)[:60]} is not in the source")

    def _typedef(self, scope: Scope, name: str) -> Doc | None:
        if scope not in self._typedefs:
            self._typedefs[scope] = typedefs(scope.body)
        return self._typedefs[scope].get(name)

    def _documented(self, doc: Doc, place: Place, at: Node) -> Schema:
        """Return the type that a comment defines."""
        if doc.params:
            return self.described(self.documented(doc.params, "", place, at).schema(), doc)
        return self.described(self.written(doc.type, place, at), doc) if doc.type else {}


def _joined(options: list[Schema]) -> list[Schema]:
    """Return the members of a union, its literals as one enumeration; true and false together are a boolean."""
    values = [value for option in options if option.keys() == {"enum"} for value in option["enum"]]
    if len(values) < 2:
        return options
    found: list[Schema] = []
    for option in options:
        if option.keys() != {"enum"}:
            found.append(option)
        elif values:
            found.append({"type": "boolean"} if values in ([True, False], [False, True]) else {"enum": values})
            values = []
    return found


def _word(node: Node) -> str:
    """Return a word for a type, as part of a definition's name."""
    return re.sub(r"\W+", "_", text_of_node(node))[:40].strip("_") or "of"
