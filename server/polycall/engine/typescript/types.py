"""JSON Schema (2020-12) from TypeScript types, read from the syntax tree; nothing is evaluated.

A value is what JSON makes of it: a ``Date`` is the text that it becomes, ``undefined`` is a member that is not there.
Types that JSON cannot express, and those that are not in the source, become ``{}``: any value, with a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tree_sitter import Node

from polycall.engine.signatures.ledger import Budget, Ledger
from polycall.engine.signatures.literals import text_of
from polycall.engine.signatures.report import Note
from polycall.engine.typescript.jsdoc import Doc, Param, comment_before, read_doc, typedefs
from polycall.engine.typescript.scripts import Found, Scope, Scripts, text_of_node, type_in

__all__ = [
    "UNDEFINED",
    "UNKNOWN",
    "Place",
    "Shape",
    "Types",
    "literal",
    "may_be_undefined",
    "type_parameters",
    "typed",
]

Schema = dict[str, Any]

UNKNOWN: Any = object()
UNDEFINED: Schema = {"not": {}}  # what is not there; it leaves unions, and makes members optional
_DEPTH = 24  # types within types; people write three
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a type stands: its scope, and what the type parameters there stand for."""

    scope: Scope
    types: Mapping[str, Bound] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bound:
    """A type and where it stands."""

    node: Node
    place: Place


@dataclass(slots=True)
class Shape:
    """The members of an object type: schema, whether it must be there; and the schema of all others, if any may be."""

    members: dict[str, tuple[Schema, bool]] = field(default_factory=dict)
    others: Schema | None = None
    description: str = ""

    def schema(self) -> Schema:
        """Return the schema of such an object."""
        schema: Schema = {
            "type": "object",
            "properties": {name: member for name, (member, _) in self.members.items()},
            "required": [name for name, (_, required) in self.members.items() if required],
        }
        if self.others is not None:
            schema["additionalProperties"] = self.others or True
        if self.description:
            schema["description"] = self.description
        return schema


class Types:
    """The schemas of one function, with the definitions that they refer to."""

    def __init__(self, scripts: Scripts, budget: Budget) -> None:
        self.ledger: Ledger[tuple[object, Bound]] = Ledger()
        self._open: set[object] = set()  # aliases being followed: they may lead back
        self._scripts = scripts
        self._budget = budget
        self._depth = 0
        self._typedefs: dict[Scope, dict[str, Doc]] = {}

    def of(self, node: Node | None, place: Place) -> Schema:
        """Return the schema of a type; ``{}`` without one. UNDEFINED, if it is one that JSON leaves out."""
        if node is None:
            return {}
        if self._depth >= _DEPTH or not self._budget.spend(16):
            return self._any(node, place, "is nested too deeply, or the schemas of this module are too large")
        self._depth += 1
        try:
            return self._of(node, place)
        finally:
            self._depth -= 1

    def written(self, text: str, place: Place, at: Node) -> Schema:
        """Return the schema of a type that stands in a comment."""
        node = type_in(text)
        return self.of(node, place) if node is not None else self._any(at, place, f"{text} is no type that can be read")

    def complete(self) -> None:
        """Write every definition that the schemas refer to."""
        while (found := self.ledger.next()) is not None:
            name, (key, bound) = found
            self._open.add(key)  # one that leads back to itself refers to itself
            schema = self._declared(bound.node, bound.place)
            self._open.remove(key)
            self.ledger.define(name, {} if schema is UNDEFINED else schema)

    def shape(self, node: Node, place: Place) -> Shape | None:
        """Return the members of an object type; None for any other type."""
        if self._depth >= _DEPTH or not self._budget.spend(16):
            return None
        self._depth += 1
        try:
            return self._shape(node, place)
        finally:
            self._depth -= 1

    def described(self, schema: Schema, doc: Doc) -> Schema:
        """Return a schema with what a comment says of its value."""
        more: Schema = {}
        if doc.description and self._budget.spend(len(doc.description)):
            more["description"] = doc.description
        for name in (*_NUMBERS, *_LENGTHS):
            value = _parsed(doc.tags.get(name, ""))
            if type(value) in (int, float) and (name in _NUMBERS or type(value) is int):
                more[name] = value
        more |= {name: doc.tags[name] for name in _TEXTS if doc.tags.get(name)}
        if "deprecated" in doc.tags:
            more["deprecated"] = True
        if (value := _parsed(doc.tags.get("default", ""))) is not UNKNOWN and self._budget.affordable(value):
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
            value = _parsed(param.default)
            if value is not UNKNOWN and self._budget.affordable(value):
                schema = {**schema, "default": value}
            shape.members[name] = (schema, not param.optional)
        return shape

    # within

    def _any(self, node: Node, place: Place, why: str) -> Schema:
        row, column = node.start_point
        message = f"{why}: any value".encode(errors="replace").decode()
        self.ledger.note(Note(place.scope.path, row + 1, column + 1, message))
        return {}

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
                else self._any(node, place, f"{text} is nothing that JSON holds")
            )
        if kind == "literal_type":
            value = literal(node.named_child(0))
            if text_of_node(node) == "undefined":
                return UNDEFINED
            if value is None:
                return {"type": "null"}
            return self._any(node, place, "is no literal that JSON holds") if value is UNKNOWN else {"enum": [value]}
        if kind == "template_literal_type":
            return {"type": "string"}
        if kind == "array_type":
            return self._array(node.named_child(0), place)
        if kind == "tuple_type":
            return self._tuple(node, place)
        if kind == "union_type":
            return self._union(list(_operands(node)), place)
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
            shape = self.shape(inner, place) if inner is not None else None
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
            return self._any(node, place, f"{text_of_node(node)[:60]} is nothing that JSON holds")
        return self._any(node, place, f"{text_of_node(node)[:60]} is no type that can be read")

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
            return self._any(node, place, "has no values, or too many to list")
        return {"enum": distinct}

    def _object(self, node: Node, place: Place) -> Schema:
        shape = self.shape(node, place)
        if shape is not None:
            return shape.schema()
        if node.type != "intersection_type":
            return {"type": "object"}
        parts = [schema for each in _operands(node) if (schema := self.of(each, place)) and schema is not UNDEFINED]
        return parts[0] if len(parts) == 1 else {"allOf": parts} if parts else {}

    def _named(self, node: Node, name: Node | None, arguments: list[Node], place: Place) -> Schema:
        words = text_of_node(name).split(".")
        if len(words) == 1 and words[0] in place.types:
            bound = place.types[words[0]]
            return self.of(bound.node, bound.place)
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
            shape = self.shape(node, place)
            return shape.schema() if shape is not None else {"type": "object"}
        if name in ("Exclude", "Extract") and len(arguments) == 2:
            return self._filtered(node, arguments, place, keep=name == "Extract")
        if name in _GLOBAL:
            return _GLOBAL[name]
        return self._any(node, place, f"{'.'.join(words)} is not known")

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
        bound = [self._bound(argument, place) for argument in arguments]
        inner = Place(found.scope, dict(_parameters(first, bound, found.scope)))
        if first.type not in _DECLARED:
            return self._any(node, place, f"{name} is not a type")
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
        return self._any(node, place, "has too many types") if referred is None else referred

    def _declared(self, node: Node, place: Place) -> Schema:
        doc = read_doc(comment_before(node))
        if node.type == "enum_declaration":
            return self.described(self._enum(node, place), doc)
        if node.type == "type_alias_declaration":
            return self.described(self.of(node.child_by_field_name("value"), place), doc)
        name = text_of_node(node.child_by_field_name("name"))
        # an interface may be declared in parts
        parts = [each for each in place.scope.declared.get(name, []) if each.type == "interface_declaration"]
        shape = self._merged([self.shape(each, place) for each in (parts if node in parts else [node])])
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
                return self._any(each, place, "is a value that can only be computed")
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
        shape = self.shape(of, place)
        name = literal(index.named_child(0)) if index.type == "literal_type" else UNKNOWN
        if shape is not None and isinstance(name, str) and name in shape.members:
            return shape.members[name][0]
        return self._any(node, place, f"{text_of_node(node)[:60]} is no type that can be read")

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
        return self._any(node, place, f"{text_of_node(node)[:60]} is not in the source")

    def _typedef(self, scope: Scope, name: str) -> Doc | None:
        if scope not in self._typedefs:
            self._typedefs[scope] = typedefs(scope.body)
        return self._typedefs[scope].get(name)

    def _documented(self, doc: Doc, place: Place, at: Node) -> Schema:
        """Return the type that a comment defines."""
        if doc.params:
            return self.described(self.documented(doc.params, "", place, at).schema(), doc)
        return self.described(self.written(doc.type, place, at), doc) if doc.type else {}

    def _shape(self, node: Node, place: Place) -> Shape | None:
        kind = node.type
        if kind in ("type_annotation", "parenthesized_type", "readonly_type", "constraint", "default_type"):
            inner = node.named_child(0)
            return self.shape(inner, place) if inner is not None else None
        if kind in ("object_type", "interface_body", "class_body"):
            return self._body(node, place)
        if kind == "intersection_type":
            return self._merged([self.shape(each, place) for each in _operands(node)])
        if kind == "interface_declaration":
            return self._interface(node, place)
        if kind in ("class_declaration", "abstract_class_declaration"):
            return self._class(node, place)
        if kind in ("type_identifier", "nested_type_identifier", "identifier"):
            return self._shape_of(node, [], place)
        if kind == "generic_type":
            arguments = [
                each for child in node.named_children if child.type == "type_arguments" for each in child.named_children
            ]
            named = node.child_by_field_name("name")
            return self._shape_of(named, arguments, place) if named is not None else None
        return None

    def _shape_of(self, name: Node, arguments: list[Node], place: Place) -> Shape | None:
        words = text_of_node(name).split(".")
        if len(words) == 1 and words[0] in place.types:
            bound = place.types[words[0]]
            return self.shape(bound.node, bound.place)
        found = self._scripts.find(place.scope, words)
        if found is not None:
            bound_ones = [self._bound(argument, place) for argument in arguments]
            shapes: list[Shape | None] = []
            for node in found.nodes:
                inner = Place(found.scope, dict(_parameters(node, bound_ones, found.scope)))
                value = node.child_by_field_name("value") if node.type == "type_alias_declaration" else node
                shapes.append(self.shape(value, inner) if value is not None else None)
            return self._merged(shapes)
        if not arguments:
            return None
        shape = self.shape(arguments[0], place)
        if shape is None or words[0] in ("Readonly", "NonNullable"):
            return shape
        members = shape.members
        if words[0] in ("Partial", "Required"):
            must = words[0] == "Required"
            return Shape({name: (schema, must) for name, (schema, _) in members.items()}, shape.others)
        if words[0] in ("Pick", "Omit") and len(arguments) == 2:
            chosen = self.of(arguments[1], place).get("enum", [])
            keep = words[0] == "Pick"
            return Shape({name: member for name, member in members.items() if (name in chosen) is keep}, shape.others)
        return None

    def _merged(self, shapes: list[Shape | None]) -> Shape | None:
        whole = Shape()
        for shape in shapes:
            if shape is None:
                return None
            whole.members |= shape.members
            whole.others = shape.others if shape.others is not None else whole.others
        return whole

    def _interface(self, node: Node, place: Place) -> Shape | None:
        whole = Shape()
        for clause in node.named_children:
            if clause.type in ("extends_type_clause", "extends_clause"):
                for base in clause.named_children:
                    inherited = self.shape(base, place)
                    if inherited is None:
                        self._any(base, place, f"{text_of_node(base)[:60]} is not in the source")
                        whole.others = {}
                    else:
                        whole = self._merged([whole, inherited]) or whole
        body = node.child_by_field_name("body")
        own = self.shape(body, place) if body is not None else None
        return self._merged([whole, own])

    def _class(self, node: Node, place: Place) -> Shape | None:
        whole = Shape()
        for heritage in node.named_children:
            for clause in heritage.named_children if heritage.type == "class_heritage" else ():
                base = clause.child_by_field_name("value") if clause.type == "extends_clause" else None
                inherited = self.shape(base, place) if base is not None else None
                whole = self._merged([whole, inherited]) or whole
        body = node.child_by_field_name("body")
        return self._merged([whole, self.shape(body, place) if body is not None else None])

    def _body(self, body: Node, place: Place) -> Shape:
        shape = Shape()
        for node in body.named_children:
            if node.type == "index_signature":
                if any(child.type == "mapped_type_clause" for child in node.named_children):
                    self._any(node, place, "is a mapped type, whose members can only be computed")
                values = self.of(node.child_by_field_name("type"), place)
                shape.others = {} if values is UNDEFINED else values
            elif node.type in ("property_signature", "public_field_definition"):
                self._member(node, shape, place)
            elif node.type == "method_definition" and text_of_node(node.child_by_field_name("name")) == "constructor":
                parameters = node.child_by_field_name("parameters")
                for each in parameters.named_children if parameters is not None else ():
                    if any(child.type in ("accessibility_modifier", "readonly") for child in each.children):
                        self._member(each, shape, place)
        return shape

    def _member(self, node: Node, shape: Shape, place: Place) -> None:
        words = {
            text_of_node(child)
            for child in node.children
            if child.child_count == 0 or child.type == "accessibility_modifier"
        }
        name = node.child_by_field_name("name") or node.child_by_field_name("pattern")
        hidden = name is None or name.type in ("private_property_identifier", "computed_property_name")
        annotation, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        if hidden or name is None or words & {"static", "private", "protected"} or _is_function(annotation):
            return
        schema = self.of(annotation, place) if annotation is not None else typed(literal(value))
        optional = (
            "?" in words or node.type == "optional_parameter" or schema is UNDEFINED or may_be_undefined(annotation)
        )
        doc = read_doc(comment_before(node))
        schema = self.described({} if schema is UNDEFINED else schema, doc)
        shape.members[_unquoted(text_of_node(name))] = (schema, not optional)

    def _bound(self, argument: Node, place: Place) -> Bound:
        """Return an argument of a generic type, in terms of the place where it is written."""
        name = text_of_node(argument)
        return (
            place.types[name] if argument.type == "type_identifier" and name in place.types else Bound(argument, place)
        )


def literal(node: Node | None) -> Any:
    """Return the JSON value of a literal expression; UNKNOWN for anything else."""
    if node is None:
        return UNKNOWN
    kind, text = node.type, text_of_node(node)
    if kind in ("as_expression", "satisfies_expression", "parenthesized_expression"):
        return literal(node.named_child(0))
    if kind in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[kind]
    if kind == "string":
        return _text(text)
    if kind == "template_string":
        return UNKNOWN if any(c.type == "template_substitution" for c in node.named_children) else _text(text)
    if kind == "number":
        return _number(text)
    if kind == "unary_expression" and text[:1] in "+-":
        value = literal(node.child_by_field_name("argument"))
        return UNKNOWN if type(value) not in (int, float) else -value if text[0] == "-" else value
    if kind == "array":
        values = [literal(each) for each in node.named_children if each.type != "comment"]
        return UNKNOWN if UNKNOWN in values else values
    if kind == "object":
        found = {}
        for each in node.named_children:
            key, value = each.child_by_field_name("key"), literal(each.child_by_field_name("value"))
            if each.type == "comment":
                continue
            if each.type != "pair" or key is None or key.type == "computed_property_name" or value is UNKNOWN:
                return UNKNOWN
            found[_unquoted(text_of_node(key))] = value
        return found
    return UNKNOWN


def typed(value: Any) -> Schema:
    """Return the schema of what TypeScript takes a literal for that has no type written; ``{}``: anything."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "number"}
    return {"type": "string"} if isinstance(value, str) else {}


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


def _operands(node: Node) -> Iterator[Node]:
    """Yield the members of ``A | B | C`` or ``A & B & C``, which nest to the left."""
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if at.type == node.type:
            waiting += [each for each in reversed(at.named_children) if each.type != "comment"]
        else:
            yield at


def _parameters(node: Node, given: list[Bound], scope: Scope) -> Iterator[tuple[str, Bound]]:
    """Yield the type parameters of a declaration with what they stand for: argument, default, or constraint."""
    parameters = node.child_by_field_name("type_parameters")
    for index, each in enumerate(parameters.named_children if parameters is not None else ()):
        fallback = each.child_by_field_name("value") or each.child_by_field_name("constraint")
        name = text_of_node(each.child_by_field_name("name"))
        if index < len(given):
            yield name, given[index]
        elif fallback is not None:
            yield name, Bound(fallback, Place(scope))
        elif (anything := type_in("unknown")) is not None:
            yield name, Bound(anything, Place(scope))


def type_parameters(node: Node, scope: Scope) -> dict[str, Bound]:
    """Return what the type parameters of a function stand for, when nobody has named them."""
    return dict(_parameters(node, [], scope))


def _is_function(annotation: Node | None) -> bool:
    inner = annotation.named_child(0) if annotation is not None else None
    return inner is not None and inner.type in ("function_type", "constructor_type")


def may_be_undefined(annotation: Node | None) -> bool:
    """Return whether a type annotation lists ``undefined``."""
    inner = annotation.named_child(0) if annotation is not None else None
    return (
        inner is not None
        and inner.type == "union_type"
        and any(text_of_node(n) == "undefined" for n in _operands(inner))
    )


def _word(node: Node) -> str:
    """Return a word for a type, as part of a definition's name."""
    return re.sub(r"\W+", "_", text_of_node(node))[:40].strip("_") or "of"


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"'):
        value = _text(text)
        return value if isinstance(value, str) else text
    return text


def _text(text: str) -> Any:
    """Return the value of a string; UNKNOWN if it has escapes that JSON has not."""
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    try:
        return json.loads(
            '"' + inner.replace("\\'", "'").replace("\\`", "`").replace('"', '\\"').replace('\\\\"', '\\"') + '"'
        )
    except ValueError:
        return UNKNOWN


def _number(text: str) -> Any:
    try:
        value = (
            int(text.replace("_", ""), 0)
            if re.fullmatch(r"[\d_]+|0[xob][\da-fA-F_]+", text)
            else float(text.replace("_", ""))
        )
    except ValueError:
        return UNKNOWN  # 1n
    return value if value == value and abs(value) != float("inf") else UNKNOWN


def _parsed(text: str) -> Any:
    """Return the value of JSON text, or of a text in single quotes; UNKNOWN for anything else."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return UNKNOWN
