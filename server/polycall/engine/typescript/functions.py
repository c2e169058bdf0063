"""What the definitions of a script's functions say of their input and output."""

from __future__ import annotations

from typing import Any

from tree_sitter import Node

from polycall.engine.signatures.definitions import with_definitions
from polycall.engine.signatures.ledger import Budget
from polycall.engine.signatures.literals import text_of
from polycall.engine.signatures.report import Note, Signature
from polycall.engine.typescript.jsdoc import Doc, Param, comment_before, read_doc
from polycall.engine.typescript.places import Place, type_parameters
from polycall.engine.typescript.scripts import Found, Scope, Scripts, text_of_node, type_in
from polycall.engine.typescript.shapes import UNDEFINED, Shape, may_be_undefined
from polycall.engine.typescript.types import Types
from polycall.engine.typescript.values import UNKNOWN, literal, typed

__all__ = ["describe"]

Schema = dict[str, Any]

_SIZE = 256 * 1024  # characters of all schemas of a module: they are kept with every version
_FUNCTIONS = {
    *("function_declaration", "generator_function_declaration", "function_signature", "function_expression"),
    *("arrow_function", "method_definition", "generator_function", "function_type"),
}
_HOPS = 5  # from name to name until there is a function


def describe(scripts: Scripts, path: str, names: list[str], convention: str) -> list[Signature]:
    """Return what is said of those of a module's functions that are found; the rest is made by code."""
    scope = scripts.file(path)
    if scope is None:
        return []
    budget = Budget(_SIZE)
    signatures = []
    for name in names:
        found = _find(scripts, scope, name)
        if found is not None:
            signatures.append(_signature(name, *found, convention, Types(scripts, budget)))
    return signatures


def _find(scripts: Scripts, scope: Scope, name: str) -> tuple[Node, Scope, Doc] | None:
    """Return a function's definition, where it is, and what its comment says."""
    found = scripts.exported(scope, name) or scripts.find(scope, [name])
    if found is None and (default := scripts.exported(scope, "default")) is not None:
        # the default export goes by its own name
        found = default if text_of_node(default.nodes[0].child_by_field_name("name")) in ("", name) else None
    return _function(scripts, found, _HOPS) if found is not None else None


def _function(scripts: Scripts, found: Found, hops: int) -> tuple[Node, Scope, Doc] | None:
    node = found.nodes[0]
    doc = read_doc(comment_before(node))
    if node.type == "variable_declarator":
        annotation, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        declared = annotation.named_child(0) if annotation is not None else type_in(doc.type) if doc.type else None
        if declared is not None and declared.type == "function_type":
            return declared, found.scope, doc
        while value is not None and value.type in ("as_expression", "satisfies_expression", "parenthesized_expression"):
            value = value.named_child(0)
        if value is not None and value.type == "identifier" and hops > 0:  # const run = main
            other = scripts.find(found.scope, [text_of_node(value)])
            return _function(scripts, other, hops - 1) if other is not None else None
        return (value, found.scope, doc) if value is not None and value.type in _FUNCTIONS else None
    return (node, found.scope, doc) if node.type in _FUNCTIONS else None


def _signature(name: str, node: Node, scope: Scope, doc: Doc, convention: str, types: Types) -> Signature:
    place = Place(scope, type_parameters(node, scope))
    read = _input(node, doc, convention, place, types)
    output = _output(node, doc, place, types)
    types.complete()
    definitions = types.ledger.definitions
    if node.type == "function_signature":
        row, column = node.start_point
        types.ledger.note(Note(scope.path, row + 1, column + 1, f"{name} has overloads; this one is what is told"))
    return Signature(
        name,
        text_of(with_definitions(read, definitions)) if read is not None else "",
        text_of(with_definitions(output, definitions)) if output else "",
        doc.description.encode(errors="replace").decode(),
        accepts_any=False,
        notes=tuple(types.ledger.notes),
    )


def _input(node: Node, doc: Doc, convention: str, place: Place, types: Types) -> Schema | None:
    """Return the schema of the input; None if nothing is known of it."""
    if convention == "script":
        return None
    parameters = _parameters(node)
    plain = all(pattern.type == "identifier" for pattern, _ in parameters)
    if not parameters:
        return {"type": "object", "properties": {}, "required": []} if convention != "input" else None
    members = [_parameter(pattern, each, index, doc, place, types) for index, (pattern, each) in enumerate(parameters)]
    whole = members[0][1]
    if convention == "input":
        return whole or None
    if not plain or (convention == "keywords" and len(members) == 1 and _is_object(whole, types)):
        # It takes the object apart itself, or as many as come; or its only parameter is the object, unless that has a
        # member of its name. The whole input goes to the first.
        return whole if whole and _is_object(whole, types) else None
    return Shape({name: (schema, required) for name, schema, required in members}).schema()


def _parameters(node: Node) -> list[tuple[Node, Node]]:
    """Return the patterns of a function's parameters with the parameters, ``this`` left out."""
    single = node.child_by_field_name("parameter")
    if single is not None:  # x => ...
        return [(single, single)]
    listed = node.child_by_field_name("parameters")
    found = []
    for each in listed.named_children if listed is not None else ():
        pattern = each.child_by_field_name("pattern")
        if each.type in ("required_parameter", "optional_parameter") and pattern is not None and pattern.type != "this":
            found.append((pattern, each))
    return found


def _parameter(pattern: Node, node: Node, index: int, doc: Doc, place: Place, types: Types) -> tuple[str, Schema, bool]:
    """Return name, schema, and whether it must be given."""
    name = text_of_node(pattern)
    plain = pattern.type == "identifier"
    top = [param for param in doc.params if "." not in param.name]
    said = next((param for param in top if param.name == name), top[index] if not plain and index < len(top) else None)
    annotation, value = node.child_by_field_name("type"), node.child_by_field_name("value")
    default = literal(value)
    optional = value is not None or node.type == "optional_parameter"
    if annotation is not None:
        schema = types.of(annotation, place)
    elif said is not None and (said.type or any(p.name.startswith(f"{said.name}.") for p in doc.params)):
        schema = _documented(said, doc, place, types, node)
        optional = optional or said.optional
    elif pattern.type == "object_pattern":
        schema = _taken_apart(pattern, place).schema()
    else:
        schema = typed(default) if place.scope.is_typescript and value is not None else {}
        optional = optional or not place.scope.is_typescript  # nobody has said that it must be there
    optional = optional or schema is UNDEFINED or may_be_undefined(annotation)
    schema = {} if schema is UNDEFINED else schema
    if said is not None and said.description:
        schema = {**schema, "description": said.description}
    if default is not UNKNOWN:
        schema = {**schema, "default": default}
    return name, schema, not optional


def _documented(said: Param, doc: Doc, place: Place, types: Types, at: Node) -> Schema:
    members = types.documented(doc.params, said.name, place, at)
    if members.members:
        return members.schema()
    return types.written(said.type, place, at)


def _taken_apart(pattern: Node, place: Place) -> Shape:
    """Return the members of an object that a parameter takes apart: ``({a, b = 1})``."""
    shape = Shape()
    for each in pattern.named_children:
        if each.type == "shorthand_property_identifier_pattern":
            shape.members[text_of_node(each)] = ({}, place.scope.is_typescript)
        elif each.type == "object_assignment_pattern":
            value = literal(each.child_by_field_name("right"))
            schema = typed(value) if place.scope.is_typescript else {}
            default = {"default": value} if value is not UNKNOWN else {}
            shape.members[text_of_node(each.child_by_field_name("left"))] = ({**schema, **default}, False)
        elif each.type == "pair_pattern":
            shape.members[text_of_node(each.child_by_field_name("key"))] = ({}, False)
        elif each.type == "rest_pattern":
            shape.others = {}
    return shape


def _is_object(schema: Schema, types: Types) -> bool:
    """Return whether a value of a schema is an object, as far as is known."""
    types.complete()
    for _ in range(_HOPS):
        target = schema.get("$ref")
        if target is None:
            break
        schema = types.ledger.definitions.get(target.rpartition("/")[2], {})
    return not schema.keys() - {"description"} or schema.get("type") == "object" or "allOf" in schema


def _output(node: Node, doc: Doc, place: Place, types: Types) -> Schema:
    returned = node.child_by_field_name("return_type")
    schema = types.of(returned, place)
    if returned is None and doc.returns:
        schema = types.written(doc.returns, place, node)
    schema = {} if schema is UNDEFINED else schema
    if doc.returns_description:
        schema = {**schema, "description": doc.returns_description}
    return schema
