"""The functions of one Python module, read from its text; nothing of it runs.

Standard library only: this and what it imports is run in a sandbox (see ``analysis``), for a parser can be made to take
gigabytes, and a compiler minutes.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import CodeType
from typing import Any

from polycall.engine.docstrings import parameter_descriptions, summary
from polycall.engine.schema import Schemas

__all__ = ["Report", "Signature", "describe", "describe_all"]

_MOST_FUNCTIONS = 1000  # of one module; every one is kept with every version
_LONGEST_NAME = 128  # characters; what a resource name can hold


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function's definition says of it. ``schema`` is JSON text."""

    name: str
    schema: str
    description: str
    accepts_any: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; if Python would not compile the source, why (``problem``) and where (``line``; 0: unknown)."""

    functions: tuple[Signature, ...] = ()
    line: int = 0
    problem: str = ""


def describe(source: str, convention: str) -> Report:
    """Return the public top-level functions in source order; the schema is that of the input by ``convention``."""
    if "\0" in source:
        return Report(line=source[: source.index("\0")].count("\n") + 1, problem="source code has null bytes")
    try:
        module = _parse(source)
        definitions = _definitions(module)
    except SyntaxError as error:
        return Report(line=error.lineno or 0, problem=f"{type(error).__name__}: {error.msg}")
    except (RecursionError, MemoryError):
        return Report(problem="is nested too deeply, or too large")
    except (ValueError, OverflowError, SystemError) as error:
        return Report(problem=f"is not Python source: {error}")
    if len(definitions) > _MOST_FUNCTIONS:
        return Report(problem=f"has {len(definitions)} public functions; at most {_MOST_FUNCTIONS}")
    if long := next((name for name in definitions if len(name) > _LONGEST_NAME), None):
        return Report(problem=f"the name {long[:40]}… has {len(long)} characters; at most {_LONGEST_NAME}")
    schemas = Schemas(module)
    return Report(tuple(_signature(name, node, convention, schemas) for name, node in definitions.items()))


def describe_all(sources: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the report of each (source, convention), as JSON holds it: what is called in the sandbox."""
    return [asdict(describe(source, convention)) for source, convention in sources]


def _parse(source: str) -> ast.Module:
    """Return the tree of a module that compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" warns on the author's screen, not on ours
        module = ast.parse(source)
        # finds what the grammar allows and Python does not, such as `return` outside of a function
        code: CodeType = compile(module, "<module>", "exec", dont_inherit=True)
        del code  # it is never run
    return module


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
