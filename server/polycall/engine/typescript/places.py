"""Where types stand, and what the type parameters there stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

from polycall.engine.typescript.scripts import Scope, text_of_node, type_in

__all__ = ["Bound", "Place", "bound", "operands", "parameters", "type_parameters"]


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


def bound(argument: Node, place: Place) -> Bound:
    """Return an argument of a generic type, in terms of the place where it is written."""
    name = text_of_node(argument)
    return place.types[name] if argument.type == "type_identifier" and name in place.types else Bound(argument, place)


def operands(node: Node) -> Iterator[Node]:
    """Yield the members of ``A | B | C`` or ``A & B & C``, which nest to the left."""
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if at.type == node.type:
            waiting += [each for each in reversed(at.named_children) if each.type != "comment"]
        else:
            yield at


def parameters(node: Node, given: list[Bound], scope: Scope) -> Iterator[tuple[str, Bound]]:
    """Yield the type parameters of a declaration with what they stand for: argument, default, or constraint."""
    listed = node.child_by_field_name("type_parameters")
    for index, each in enumerate(listed.named_children if listed is not None else ()):
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
    return dict(parameters(node, [], scope))
