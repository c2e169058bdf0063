"""What kind of data a class describes."""

from __future__ import annotations

import ast
import enum

from polycall.engine.signatures import known
from polycall.engine.signatures.modules import ClassType, Modules, Outside

__all__ = ["FUNCTIONAL", "Kind", "kind_of"]

# what makes such a class by a call: Point = NamedTuple("Point", [("x", int)])
FUNCTIONAL = {"TypedDict", "NamedTuple", "namedtuple", "Enum", "StrEnum", "IntEnum"}

_RECORDS = {"TypedDict", "BaseModel", "Struct"}
_DECORATORS = {"dataclass", "define", "frozen", "mutable", "attrs", "s"}  # dataclasses, pydantic, attrs
_ENUMS = {"Enum", "IntEnum", "ReprEnum"}
_FLAGS = {"Flag", "IntFlag"}


class Kind(enum.Enum):
    """What JSON a class's values are."""

    RECORD = "an object with the class's fields"
    TUPLE = "an array with the class's fields in order"
    ENUM = "one of the members' values"
    TEXT_ENUM = "one of the members' values, which are texts by default"
    FLAG = "an integer"
    ROOT = "what its one field is"
    PLAIN = "what its base class is"
    UNKNOWN = "known only to who imports it"


def kind_of(modules: Modules, class_type: ClassType) -> Kind | None:
    """Return the kind of a class; None if it does not describe data."""
    outside = modules.outside_bases(class_type)
    names = {known.known_name(symbol) for symbol in outside}
    if "StrEnum" in names:
        return Kind.TEXT_ENUM
    for kind, bases in ((Kind.ENUM, _ENUMS), (Kind.FLAG, _FLAGS), (Kind.TUPLE, {"NamedTuple"})):
        if names & bases:
            return kind
    if "RootModel" in names:
        return Kind.ROOT
    if names & _RECORDS or any(_decorated(modules, each) for each in modules.ancestors(class_type)):
        return Kind.RECORD
    if any(not known.known_name(symbol) and not known.of_stdlib(symbol) for symbol in outside):
        return Kind.UNKNOWN
    if any(known.scalar(name) for name in names if name):
        return Kind.PLAIN
    return None


def _decorated(modules: Modules, class_type: ClassType) -> bool:
    for decorator in class_type.node.decorator_list:
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        symbol = modules.resolve(class_type.module, named)
        if isinstance(symbol, Outside) and known.known_name(symbol) in _DECORATORS:
            return True
    return False
