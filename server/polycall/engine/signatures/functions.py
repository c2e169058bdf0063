"""The functions of one module: which there are, and what their definitions say of their input and output."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from polycall.engine.signatures.definitions import with_definitions
from polycall.engine.signatures.docstrings import parameter_descriptions, return_description, summary
from polycall.engine.signatures.kinds import Kind, kind_of
from polycall.engine.signatures.ledger import Budget
from polycall.engine.signatures.literals import text_of
from polycall.engine.signatures.modules import ClassType, Module, Modules, NotCompiled, Outside, statements
from polycall.engine.signatures.records import complete, object_schema, read_member, record_members
from polycall.engine.signatures.refused import refused_uses
from polycall.engine.signatures.report import Report, Signature
from polycall.engine.signatures.schemas import Place, Schemas

__all__ = ["describe"]

_MOST_FUNCTIONS = 1000  # of one module; every one is kept with every version
_LONGEST_NAME = 128  # characters; what a resource name can hold
_SIZE = 256 * 1024  # characters of all schemas of a module: they are kept with every version

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A name that is bound to something callable. ``node`` None: its signature is not known."""

    node: Definition
    at: ast.stmt


def describe(
    modules: Modules, name: str, path: str, data: bytes, convention: str, refused: Collection[str] = ()
) -> Report:
    """Return the public top-level functions in source order; the schema is that of the input by ``convention``.

    ``refused``: dotted names that the module should not use.
    """
    try:
        module = modules.load(name, path, data)
    except NotCompiled as error:
        return Report(line=error.line, column=error.column, problem=str(error))
    found = _definitions(module.tree)
    if len(found) > _MOST_FUNCTIONS:
        return Report(problem=f"has {len(found)} public functions; at most {_MOST_FUNCTIONS}")
    if long := next((name for name in found if len(name) > _LONGEST_NAME), None):
        return Report(problem=f"the name {long[:40]}… has {len(long)} characters; at most {_LONGEST_NAME}")
    budget = Budget(_SIZE)
    return Report(
        tuple(_signature(name, each, convention, module, Schemas(modules, budget)) for name, each in found.items()),
        uses=refused_uses(module.tree, path, refused),
    )


def _definitions(tree: ast.Module) -> dict[str, _Found]:
    """Return public names bound to callables, by their last binding."""
    public: dict[str, _Found] = {}
    everything: dict[str, _Found] = {}
    for name, node, at in _bindings(tree):
        if isinstance(node, ast.Name):  # execute = main
            if node.id not in everything:
                continue
            found = everything[node.id]
        else:
            found = _Found(node, at)
        everything[name] = found
        if not name.startswith("_"):
            public.pop(name, None)
            public[name] = found
    return public


def _bindings(tree: ast.Module) -> Iterator[tuple[str, Definition | ast.Name, ast.stmt]]:
    """Yield what binds callables at the top level, also within ``if``, ``try`` and ``with``."""
    for node in statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(_last_name(decorator) == "overload" for decorator in node.decorator_list):
                yield node.name, node, node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda | ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if isinstance(node.value, ast.Lambda | ast.Name):
                yield node.target.id, node.value, node
            elif node.value is not None and _is_callable(node.annotation):
                yield node.target.id, None, node


def _is_callable(hint: ast.expr) -> bool:
    return _last_name(hint.value if isinstance(hint, ast.Subscript) else hint) == "Callable"


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _signature(name: str, found: _Found, convention: str, module: Module, schemas: Schemas) -> Signature:
    node = found.node
    if node is None:
        return Signature(name, "{}", "", "", accepts_any=True)
    docstring = "" if isinstance(node, ast.Lambda) else ast.get_docstring(node, clean=False) or ""
    place = Place(module)
    read = _input(node.args, convention, docstring, place, schemas)
    returned = None if isinstance(node, ast.Lambda) else node.returns
    output = schemas.of(returned, place)
    if (text := _encodable(return_description(docstring))) and "description" not in output:
        output = {**output, "description": text}
    complete(schemas)
    return Signature(
        name,
        text_of(with_definitions(read, schemas.ledger.definitions)),
        text_of(with_definitions(output, schemas.ledger.definitions)) if output else "",
        _encodable(summary(docstring)),
        accepts_any=node.args.kwarg is not None,
        unread=schemas.unread,
        notes=tuple(schemas.ledger.notes),
    )


def _input(arguments: ast.arguments, convention: str, docstring: str, place: Place, schemas: Schemas) -> dict[str, Any]:
    parameters = list(_parameters(arguments))
    if convention == "handle":
        return next((schemas.of(each.annotation, place, each) for each, _ in parameters if each.arg == "data"), {})
    if convention == "input":
        return schemas.of(parameters[0][0].annotation, place, parameters[0][0]) if parameters else {}
    if convention == "script":
        return {}
    told = parameter_descriptions(docstring)
    members = []
    for each, default in parameters:
        text = _encodable(told.get(each.arg, ""))
        member = read_member(schemas, each.arg, each.annotation, default, place, description=text, at=each)
        members.append(type(member)(each.arg, member.schema, member.required))
    if convention == "keywords":
        for each in arguments.posonlyargs:
            schemas.note(
                f"{each.arg} stands before `/`, so it cannot be given by its name, as it is here", (place.module, each)
            )
    schema = object_schema(members)
    if arguments.kwarg is not None:
        schema |= _open(arguments.kwarg, schema, place, schemas)
    return schema


def _open(rest: ast.arg, schema: dict[str, Any], place: Place, schemas: Schemas) -> dict[str, Any]:
    """Return what ``**rest`` adds: any members, those of a type, or the members of ``Unpack[SomeTypedDict]``."""
    hint = rest.annotation
    if isinstance(hint, ast.Subscript):
        symbol = schemas.modules.resolve(place.module, hint.value)
        unpacked = schemas.modules.resolve(place.module, hint.slice)
        record = isinstance(unpacked, ClassType) and kind_of(schemas.modules, unpacked) is Kind.RECORD
        if isinstance(symbol, Outside) and symbol.name == "Unpack" and isinstance(unpacked, ClassType) and record:
            members = record_members(schemas, unpacked, Place(unpacked.module))
            more = object_schema(list(members.values()))
            return {
                "properties": {**schema["properties"], **more["properties"]},
                "required": [*schema["required"], *more["required"]],
                "additionalProperties": True,
            }
    return {"additionalProperties": schemas.of(hint, place, rest) or True}


def _parameters(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield every named parameter with its default, in order."""
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = len(positional) - len(arguments.defaults)
    yield from zip(positional, [*([None] * plain), *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
