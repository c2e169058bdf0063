"""Classes that describe data: TypedDict, dataclass, NamedTuple, Enum, pydantic's and others' models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polycall.engine.signatures import known
from polycall.engine.signatures.constants import constant, enum_members
from polycall.engine.signatures.constraints import constrain
from polycall.engine.signatures.docstrings import parameter_descriptions, summary
from polycall.engine.signatures.kinds import Kind, kind_of
from polycall.engine.signatures.literals import UNKNOWN, json_literal
from polycall.engine.signatures.modules import Alias, ClassType, Module, Outside
from polycall.engine.signatures.schemas import Place, Schemas

__all__ = ["Member", "complete", "read_member", "record_members"]

Schema = dict[str, Any]

_FIELD_CALLS = {"Field", "field", "ib", "attrib", "Query", "Body", "Form", "Header", "PrivateAttr", "Meta"}
_MOST_ANCESTORS = 100  # of a class
_FACTORIES: dict[str, Any] = {"list": [], "dict": {}}
_EXTRA = {"forbid": False, "allow": True}


@dataclass(frozen=True, slots=True)
class Member:
    """A field or parameter: what it is called in JSON, its schema, and whether it must be there."""

    name: str
    schema: Schema
    required: bool
    taken: bool = True  # False: its value cannot be given


def complete(schemas: Schemas) -> None:
    """Write every definition that the schemas refer to."""
    while (found := schemas.next_definition()) is not None:
        name, symbol, place = found
        if isinstance(symbol, ClassType):
            schemas.ledger.define(name, _class_schema(schemas, symbol, place))
        else:
            schemas.ledger.define(name, _functional_schema(schemas, symbol, place))


def read_member(
    schemas: Schemas,
    name: str,
    hint: ast.expr | None,
    default: ast.expr | None,
    place: Place,
    *,
    description: str = "",
    at: ast.AST | None = None,
) -> Member:
    """Return a field or parameter as its hint and default say."""
    schema = schemas.of(hint, place, at)
    said = _field_options(schemas, default, place.module) if default is not None else {}
    inner = _in_annotated(schemas, hint, place)
    if description and "description" not in schema and schemas.affordable(description):
        schema = {**schema, "description": description}
    if default is not None:
        schema = constrain(schema, schemas.said_by(default, place.module) if isinstance(default, ast.Call) else {})
    said = inner | said
    value = said.get("default", UNKNOWN)
    if value is not UNKNOWN and schemas.affordable(value):
        schema = {**schema, "default": value}
    return Member(str(said.get("alias", name)), schema, not said.get("optional", False), said.get("taken", True))


def record_members(
    schemas: Schemas, class_type: ClassType, place: Place, seen: set[ast.ClassDef] | None = None
) -> dict[str, Member]:
    """Return the fields of a record by their names in Python, inherited ones first."""
    node = class_type.node
    seen = {node} if seen is None else seen
    members: dict[str, Member] = {}
    for base, base_place in schemas.bases(class_type, place):
        if base.node not in seen and len(seen) < _MOST_ANCESTORS:
            seen.add(base.node)
            members |= record_members(schemas, base, base_place, seen)
    total = not any(
        keyword.arg == "total" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        for keyword in node.keywords
    )
    pydantic = "BaseModel" in {symbol.name for symbol in schemas.modules.outside_bases(class_type)}
    docs = parameter_descriptions(ast.get_docstring(node, clean=False) or "")
    for line, after in _annotated_lines(node):
        if not isinstance(line.target, ast.Name):
            continue
        name, marker = line.target.id, _marker(schemas, line.annotation, place.module)
        if marker in ("ClassVar", "KW_ONLY") or (pydantic and (name.startswith("_") or name == "model_config")):
            continue
        text = after or docs.get(name, "")
        member = read_member(schemas, name, line.annotation, line.value, place, description=_encodable(text), at=line)
        required = marker == "Required" or (member.required and total and marker != "NotRequired")
        members[name] = Member(member.name, member.schema, required, member.taken)
    return members


def object_schema(members: list[Member]) -> Schema:
    """Return the schema of an object with these members."""
    taken = [member for member in members if member.taken]
    return {
        "type": "object",
        "properties": {member.name: member.schema for member in taken},
        "required": [member.name for member in taken if member.required],
    }


def _class_schema(schemas: Schemas, class_type: ClassType, place: Place) -> Schema:
    kind = kind_of(schemas.modules, class_type)
    if kind in (Kind.ENUM, Kind.TEXT_ENUM):
        schema = _enum_schema(schemas, class_type)
    elif kind is Kind.FLAG:
        schema = {"type": "integer"}
    elif kind is Kind.TUPLE:
        schema = _tuple_schema(list(record_members(schemas, class_type, place).values()))
    elif kind is Kind.ROOT:
        schema = _root_schema(schemas, class_type, place)
    elif kind is Kind.PLAIN:
        schema = _plain_schema(schemas, class_type, place)
    else:
        schema = object_schema(list(record_members(schemas, class_type, place).values()))
        schema |= _extra(schemas, class_type)
    text = _encodable(summary(ast.get_docstring(class_type.node, clean=False) or ""))
    if text and "description" not in schema and schemas.affordable(text):
        schema = {"description": text, **schema} if "$ref" in schema else {**schema, "description": text}
    return schema


def _functional_schema(schemas: Schemas, alias: Alias, place: Place) -> Schema:
    """Return the schema of ``Name = TypedDict("Name", {...})`` and its like."""
    call = alias.value
    assert isinstance(call, ast.Call)  # noqa: S101  (said to mypy; only such are queued)
    symbol = schemas.modules.resolve(alias.module, call.func)
    made = symbol.name if isinstance(symbol, Outside) else ""
    content = call.args[1] if len(call.args) > 1 else None
    if made == "TypedDict" and isinstance(content, ast.Dict):
        total = not any(k.arg == "total" and json_literal(k.value) is False for k in call.keywords)
        pairs = [(json_literal(key), value) for key, value in zip(content.keys, content.values, strict=True)]
        members = []
        for name, hint in pairs:
            if isinstance(name, str):
                marker = _marker(schemas, hint, alias.module)
                member = read_member(schemas, name, hint, None, place)
                required = marker == "Required" or (total and marker != "NotRequired")
                members.append(Member(member.name, member.schema, required))
        return object_schema(members)
    if made == "NamedTuple" and isinstance(content, ast.List | ast.Tuple):
        items = [item.elts for item in content.elts if isinstance(item, ast.Tuple) and len(item.elts) == 2]
        return _tuple_schema([read_member(schemas, str(json_literal(name)), hint, None, place) for name, hint in items])
    names = json_literal(content)
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    if made == "namedtuple" and isinstance(names, list):
        return _tuple_schema([Member(str(name), {}, True) for name in names])
    if made in ("Enum", "IntEnum", "StrEnum") and isinstance(names, dict):
        return schemas.enumeration(list(names.values()))
    if made in ("Enum", "IntEnum", "StrEnum") and isinstance(names, list):
        if all(isinstance(name, str) for name in names):
            numbers = list(range(1, len(names) + 1))
            return schemas.enumeration([name.lower() for name in names] if made == "StrEnum" else numbers)
        return schemas.enumeration([pair[1] for pair in names if isinstance(pair, list) and len(pair) == 2])
    schemas.note(f"{alias.name} cannot be read: any value", unread=True)
    return {}


def _enum_schema(schemas: Schemas, class_type: ClassType) -> Schema:
    members = enum_members(schemas.modules, class_type)
    if members is None:
        schemas.note(f"a value of {class_type.node.name} cannot be read: any value", unread=True)
        return {}
    return schemas.enumeration(list(members.values()))


def _tuple_schema(members: list[Member]) -> Schema:
    items = [{"title": member.name, **member.schema} for member in members]
    least = sum(member.required for member in members)
    return {"type": "array", "prefixItems": items, "minItems": least, "maxItems": len(items)}


def _root_schema(schemas: Schemas, class_type: ClassType, place: Place) -> Schema:
    """Return the schema of a RootModel: that of ``root``, or of the parameter of its base."""
    if (root := record_members(schemas, class_type, place).get("root")) is not None:
        return root.schema
    for base in class_type.node.bases:
        if isinstance(base, ast.Subscript):
            return schemas.of(base.slice, place)
    return {}


def _plain_schema(schemas: Schemas, class_type: ClassType, place: Place) -> Schema:
    for base in class_type.node.bases:
        schema = schemas.of(base, place)
        if schema:
            return schema
    return {}


def _extra(schemas: Schemas, class_type: ClassType) -> Schema:
    """Return whether other members are taken, if the class says so; note what only pydantic can tell."""
    for each in schemas.modules.ancestors(class_type):
        options = _options(each.node)
        if "alias_generator" in options:
            schemas.note(
                f"{each.node.name} makes the names of its members by code", (each.module, each.node), unread=True
            )
        extra = json_literal(options.get("extra"))
        if isinstance(extra, str) and extra in _EXTRA:
            return {"additionalProperties": _EXTRA[extra]}
        if json_literal(options.get("closed")) is True or json_literal(options.get("forbid_unknown_fields")) is True:
            return {"additionalProperties": False}
    return {}


def _options(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Return what a class is configured with: class keywords, ``model_config``, ``class Config``."""
    found = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        value = getattr(line, "value", None)
        if isinstance(target, ast.Name) and target.id == "model_config":
            if isinstance(value, ast.Call):
                found |= {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg}
            elif isinstance(value, ast.Dict):
                pairs = zip(value.keys, value.values, strict=True)
                found |= {name: item for key, item in pairs if isinstance(name := json_literal(key), str)}
        if isinstance(line, ast.ClassDef) and line.name == "Config":
            found |= {
                target.id: item.value
                for item in line.body
                if isinstance(item, ast.Assign)
                for target in item.targets
                if isinstance(target, ast.Name)
            }
    return found


def _annotated_lines(node: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield the fields of a class, each with the text that stands under it."""
    for index, line in enumerate(node.body):
        if isinstance(line, ast.AnnAssign):
            below = node.body[index + 1] if index + 1 < len(node.body) else None
            text = json_literal(below.value) if isinstance(below, ast.Expr) else None
            yield line, summary(text) if isinstance(text, str) else ""


def _marker(schemas: Schemas, hint: ast.expr, module: Module) -> str:
    """Return what a hint says of its field rather than of its value: Required, NotRequired, ClassVar, KW_ONLY."""
    while isinstance(hint, ast.Subscript):
        symbol = schemas.modules.resolve(module, hint.value)
        name = known.known_name(symbol) if isinstance(symbol, Outside) else ""
        if name in ("Required", "NotRequired", "ClassVar"):
            return name
        if name not in ("ReadOnly", "Annotated"):
            return ""
        hint = hint.slice.elts[0] if isinstance(hint.slice, ast.Tuple) and hint.slice.elts else hint.slice
    symbol = schemas.modules.resolve(module, hint)
    name = known.known_name(symbol) if isinstance(symbol, Outside) else ""
    return name if name in ("ClassVar", "KW_ONLY") else ""


def _in_annotated(schemas: Schemas, hint: ast.expr | None, place: Place) -> dict[str, Any]:
    """Return alias and default that a field function within Annotated says."""
    if not isinstance(hint, ast.Subscript) or not isinstance(hint.slice, ast.Tuple):
        return {}
    symbol = schemas.modules.resolve(place.module, hint.value)
    if not isinstance(symbol, Outside) or symbol.name != "Annotated":
        return {}
    found: dict[str, Any] = {}
    for extra in hint.slice.elts[1:]:
        if isinstance(extra, ast.Call):
            options = _field_options(schemas, extra, place.module)
            found |= {key: value for key, value in options.items() if key in ("alias", "default")}
            if "default" in options:
                found["optional"] = True
    return found


def _field_options(schemas: Schemas, default: ast.expr, module: Module) -> dict[str, Any]:
    """Return what a default says: ``optional``, ``default``, ``alias``, ``taken``."""
    value = constant(schemas.modules, module, default)
    if value is not UNKNOWN:
        return {"optional": True, "default": value}
    symbol = schemas.modules.resolve(module, default.func) if isinstance(default, ast.Call) else None
    if not isinstance(default, ast.Call) or not isinstance(symbol, Outside) or symbol.name not in _FIELD_CALLS:
        return {"optional": True}
    options = {keyword.arg: keyword.value for keyword in default.keywords if keyword.arg}
    if default.args:
        options.setdefault("default", default.args[0])
    found: dict[str, Any] = {}
    given = options.get("default")
    if given is not None and not (isinstance(given, ast.Constant) and given.value is ...):
        found = {"optional": True, "default": constant(schemas.modules, module, given)}
    factory = options.get("default_factory", options.get("factory"))
    if factory is not None:
        made = factory.id if isinstance(factory, ast.Name) else ""
        found = {"optional": True, "default": _FACTORIES.get(made, UNKNOWN)}
    for name in ("validation_alias", "alias", "name"):
        if isinstance(alias := json_literal(options.get(name)), str):
            found.setdefault("alias", alias)
    if symbol.name == "PrivateAttr" or json_literal(options.get("init")) is False:
        found["taken"] = False
    return found


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
