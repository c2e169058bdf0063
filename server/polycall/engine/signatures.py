"""The functions of one Python module, read from its text; nothing of it runs. Standard library only."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polycall.engine.docstrings import parameter_descriptions, summary
from polycall.engine.schema import Schemas

__all__ = ["Signature", "SourceError", "read_functions"]

_MOST_FUNCTIONS = 1000  # of one module; every one is kept with every version


class SourceError(Exception):
    """Raised for a source that Python would not compile, or that is too large to look at."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function's definition says of it. ``schema`` is JSON text."""

    name: str
    schema: str
    description: str
    accepts_any: bool


def read_functions(source: str, convention: str) -> list[Signature]:
    """Return the public top-level functions in source order; the schema is that of the input by ``convention``.

    Raises SourceError.
    """
    module = _parse(source)
    definitions = _definitions(module)
    if len(definitions) > _MOST_FUNCTIONS:
        raise SourceError(0, f"has {len(definitions)} public functions; at most {_MOST_FUNCTIONS}")
    schemas = Schemas(module)
    return [_signature(name, node, convention, schemas) for name, node in definitions.items()]


def _parse(source: str) -> ast.Module:
    if "\0" in source:
        raise SourceError(source[: source.index("\0")].count("\n") + 1, "source code cannot contain null bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" warns on the author's screen, not on ours
            return ast.parse(source)
    except SyntaxError as error:
        raise SourceError(error.lineno or 0, f"{type(error).__name__}: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise SourceError(0, "is nested too deeply") from None
    except ValueError as error:
        raise SourceError(0, f"is not Python source: {error}") from None


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None


def _definitions(module: ast.Module) -> dict[str, Definition]:
    """Return public names bound to callables, by their last binding. None: the signature is not known."""
    found: dict[str, Definition] = {}
    everything: dict[str, Definition] = {}
    for name, node in _bindings(module.body):
        if isinstance(node, ast.Name):  # execute = main
            if node.id not in everything:
                continue
            node = everything[node.id]
        everything[name] = node
        if not name.startswith("_"):
            found.pop(name, None)
            found[name] = node
    return found


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, Definition | ast.Name]]:
    """Yield what binds callables at the top level, also within ``if``, ``try`` and ``with``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(_last_name(decorator) == "overload" for decorator in node.decorator_list):
                yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda | ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if isinstance(node.value, ast.Lambda | ast.Name):
                yield node.target.id, node.value
            elif node.value is not None and _is_callable(node.annotation):
                yield node.target.id, None
        elif isinstance(node, ast.If | ast.With | ast.Try):
            for part in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(node, part, ()):
                    yield from _bindings(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _is_callable(hint: ast.expr) -> bool:
    return _last_name(hint.value if isinstance(hint, ast.Subscript) else hint) == "Callable"


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _signature(name: str, node: Definition, convention: str, schemas: Schemas) -> Signature:
    if node is None:
        return Signature(name, "{}", "", accepts_any=True)
    docstring = "" if isinstance(node, ast.Lambda) else ast.get_docstring(node, clean=False) or ""
    accepts_any = node.args.kwarg is not None
    schema = _input_schema(node.args, convention, docstring, schemas)
    return Signature(name, _json(schema), _encodable(summary(docstring)), accepts_any)


def _input_schema(arguments: ast.arguments, convention: str, docstring: str, schemas: Schemas) -> dict[str, Any]:
    parameters = list(_parameters(arguments))
    if convention == "handle":
        return next((schemas.of(hint.annotation) for hint, _ in parameters if hint.arg == "data"), {})
    if convention == "input":
        return schemas.of(parameters[0][0].annotation) if parameters else {}
    told = parameter_descriptions(docstring)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            hint.arg: schemas.of_parameter(hint.annotation, default, _encodable(told.get(hint.arg, "")))
            for hint, default in parameters
        },
        "required": [hint.arg for hint, default in parameters if default is None],
    }
    if arguments.kwarg is not None:
        schema["additionalProperties"] = True
    return schema


def _parameters(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield every named parameter with its default, in order."""
    positional = [*arguments.posonlyargs, *arguments.args]
    plain = len(positional) - len(arguments.defaults)
    yield from zip(positional, [*([None] * plain), *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
