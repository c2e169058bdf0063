"""The members of object types: of interfaces, classes, aliases, and what utility types make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tree_sitter import Node

from polycall.engine.signatures.ledger import Budget
from polycall.engine.typescript.jsdoc import Doc, comment_before, read_doc
from polycall.engine.typescript.places import Place, bound, operands, parameters
from polycall.engine.typescript.scripts import Scripts, text_of_node
from polycall.engine.typescript.values import literal, typed, unquoted

__all__ = ["DEEPEST", "UNDEFINED", "Shape", "Shapes", "may_be_undefined", "merged"]

Schema = dict[str, Any]

UNDEFINED: Schema = {"not": {}}  # what is not there; it leaves unions, and makes members optional
DEEPEST = 24  # types within types; people write three


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


class _Types(Protocol):
    """What gives the schemas of members. ``depth``: how many types within types are being read, by both."""

    depth: int

    def of(self, node: Node | None, place: Place) -> Schema:
        """Return the schema of a type."""

    def any_value(self, node: Node, place: Place, why: str) -> Schema:
        """Note why it is any value."""

    def described(self, schema: Schema, doc: Doc) -> Schema:
        """Return a schema with what a comment says."""


class Shapes:
    """Finds the members of object types."""

    def __init__(self, types: _Types, scripts: Scripts, budget: Budget) -> None:
        self._types = types
        self._scripts = scripts
        self._budget = budget

    def of(self, node: Node, place: Place) -> Shape | None:
        """Return the members of an object type; None for any other type."""
        if self._types.depth >= DEEPEST or not self._budget.spend(16):
            return None
        self._types.depth += 1
        try:
            return self._shape(node, place)
        finally:
            self._types.depth -= 1

    def _shape(self, node: Node, place: Place) -> Shape | None:
        kind = node.type
        if kind in ("type_annotation", "parenthesized_type", "readonly_type", "constraint", "default_type"):
            inner = node.named_child(0)
            return self.of(inner, place) if inner is not None else None
        if kind in ("object_type", "interface_body", "class_body"):
            return self._body(node, place)
        if kind == "intersection_type":
            return merged([self.of(each, place) for each in operands(node)])
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
            known = place.types[words[0]]
            return self.of(known.node, known.place)
        found = self._scripts.find(place.scope, words)
        if found is not None:
            bound_ones = [bound(argument, place) for argument in arguments]
            shapes: list[Shape | None] = []
            for node in found.nodes:
                inner = Place(found.scope, dict(parameters(node, bound_ones, found.scope)))
                value = node.child_by_field_name("value") if node.type == "type_alias_declaration" else node
                shapes.append(self.of(value, inner) if value is not None else None)
            return merged(shapes)
        if not arguments:
            return None
        shape = self.of(arguments[0], place)
        if shape is None or words[0] in ("Readonly", "NonNullable"):
            return shape
        members = shape.members
        if words[0] in ("Partial", "Required"):
            must = words[0] == "Required"
            return Shape({name: (schema, must) for name, (schema, _) in members.items()}, shape.others)
        if words[0] in ("Pick", "Omit") and len(arguments) == 2:
            chosen = self._types.of(arguments[1], place).get("enum", [])
            keep = words[0] == "Pick"
            return Shape({name: member for name, member in members.items() if (name in chosen) is keep}, shape.others)
        return None

    def _interface(self, node: Node, place: Place) -> Shape | None:
        whole = Shape()
        for clause in node.named_children:
            if clause.type in ("extends_type_clause", "extends_clause"):
                for base in clause.named_children:
                    inherited = self.of(base, place)
                    if inherited is None:
                        self._types.any_value(base, place, f"{text_of_node(base)[:60]} is not in the source")
                        whole.others = {}
                    else:
                        whole = merged([whole, inherited]) or whole
        body = node.child_by_field_name("body")
        own = self.of(body, place) if body is not None else None
        return merged([whole, own])

    def _class(self, node: Node, place: Place) -> Shape | None:
        whole = Shape()
        for heritage in node.named_children:
            for clause in heritage.named_children if heritage.type == "class_heritage" else ():
                base = clause.child_by_field_name("value") if clause.type == "extends_clause" else None
                inherited = self.of(base, place) if base is not None else None
                whole = merged([whole, inherited]) or whole
        body = node.child_by_field_name("body")
        return merged([whole, self.of(body, place) if body is not None else None])

    def _body(self, body: Node, place: Place) -> Shape:
        shape = Shape()
        for node in body.named_children:
            if node.type == "index_signature":
                if any(child.type == "mapped_type_clause" for child in node.named_children):
                    self._types.any_value(node, place, "is a mapped type, whose members can only be computed")
                values = self._types.of(node.child_by_field_name("type"), place)
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
        schema = self._types.of(annotation, place) if annotation is not None else typed(literal(value))
        optional = (
            "?" in words or node.type == "optional_parameter" or schema is UNDEFINED or may_be_undefined(annotation)
        )
        doc = read_doc(comment_before(node))
        schema = self._types.described({} if schema is UNDEFINED else schema, doc)
        shape.members[unquoted(text_of_node(name))] = (schema, not optional)


def merged(shapes: list[Shape | None]) -> Shape | None:
    """Return the shape that has the members of all; None if one of them is none."""
    whole = Shape()
    for shape in shapes:
        if shape is None:
            return None
        whole.members |= shape.members
        whole.others = shape.others if shape.others is not None else whole.others
    return whole


def _is_function(annotation: Node | None) -> bool:
    inner = annotation.named_child(0) if annotation is not None else None
    return inner is not None and inner.type in ("function_type", "constructor_type")


def may_be_undefined(annotation: Node | None) -> bool:
    """Return whether a type annotation lists ``undefined``."""
    inner = annotation.named_child(0) if annotation is not None else None
    return (
        inner is not None
        and inner.type == "union_type"
        and any(text_of_node(n) == "undefined" for n in operands(inner))
    )
