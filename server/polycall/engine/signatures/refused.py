"""Names that a source may not use, found in its text: by import, by attribute, as a builtin.

Whoever wants to get around it does; it tells an honest author before a run does.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from polycall.engine.signatures.report import Note

__all__ = ["refused_uses"]

_MOST = 20  # that are told of one module
_BUILTINS = "builtins"
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Scope = ast.Module | ast.ClassDef | _Function
_Names = tuple[frozenset[str], ...]


def refused_uses(tree: ast.Module, path: str, refused: Collection[str]) -> tuple[Note, ...]:
    """Return where refused names are used, in the order of the source; each name once a line."""
    if not refused:
        return ()
    finder = _Finder(tree, refused)
    found = {(node.lineno, name): node.col_offset + 1 for node, name in finder.uses()}
    return tuple(Note(path, line, found[line, name], name) for line, name in sorted(found)[:_MOST])


class _Finder:
    def __init__(self, tree: ast.Module, refused: Collection[str]) -> None:
        self._tree = tree
        self._exact = {name for name in refused if not name.endswith("*")}
        self._prefixes = tuple(name[:-1] for name in refused if name.endswith("*"))
        self._roots = {"importlib", *(name.partition(".")[0] for name in refused)}
        self._deepest = max(name.count(".") for name in refused)  # so many attributes of a module at most
        self._imported: dict[str, str] = {"__builtins__": _BUILTINS}  # name -> what it stands for, in any scope
        self._verdicts: dict[str, bool] = {}
        self._stars: list[str] = []  # modules whose names are all there
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    self._imported[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else each.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for each in node.names:
                    self._imported[each.asname or each.name] = f"{node.module}.{each.name}"
                    if each.name == "*":
                        self._stars.append(node.module)

    def uses(self) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
        """Yield each node that uses something refused, with its dotted name, a builtin's without its module."""
        # a node, the names bound around it, and those around functions in it: they do not see a class's own
        waiting: list[tuple[ast.AST, _Names, _Names]] = [(self._tree, (), ())]
        while waiting:
            node, scopes, outer = waiting.pop()
            for name in self._meanings(node, scopes):
                if self._refuses(name) and isinstance(node, ast.expr | ast.stmt):
                    yield node, name.removeprefix(f"{_BUILTINS}.")
                    break
            if isinstance(node, ast.ClassDef):
                scopes = (*scopes, frozenset(_bound(node)))
            elif isinstance(node, _Scope):
                scopes = outer = (*outer, frozenset(_bound(node)))
            if isinstance(node, ast.Assign) and (own := self._hidden(node)):
                # eval = eval: on the right it is still the builtin
                waiting += [(each, scopes, outer) for each in node.targets]
                waiting.append((node.value, tuple(scope - own for scope in scopes), outer))
            else:
                waiting += [(child, scopes, outer) for child in ast.iter_child_nodes(node)]

    def _hidden(self, node: ast.Assign) -> frozenset[str]:
        """Return the names of refused builtins that an assignment binds."""
        names = (each.id for each in node.targets if isinstance(each, ast.Name))
        return frozenset(name for name in names if self._refuses(f"{_BUILTINS}.{name}"))

    def _meanings(self, node: ast.AST, scopes: _Names) -> Iterator[str]:
        """Yield the dotted names that a node may stand for."""
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Attribute):
            if dotted := self._dotted(node):
                yield dotted
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if not any(node.id in scope for scope in scopes):
                yield from (f"{module}.{node.id}" for module in (_BUILTINS, *self._stars))
        elif isinstance(node, ast.Call) and (text := _text_of(node)):
            called = self._dotted(node.func) or (node.func.id if isinstance(node.func, ast.Name) else "")
            if called == "importlib.import_module":
                yield text
            elif called == "getattr" and (owner := self._dotted(node.args[0])):
                yield f"{owner}.{text}"

    def _dotted(self, node: ast.expr) -> str:
        """Return what a name, or a chain of attributes of one, stands for by the imports; "" if by none."""
        names: list[str] = []
        while isinstance(node, ast.Attribute) and len(names) <= self._deepest:
            names.append(node.attr)
            node = node.value
        known = self._imported.get(node.id, "") if isinstance(node, ast.Name) else ""
        if known.partition(".")[0] not in self._roots:
            return ""
        return ".".join([known, *reversed(names)])

    def _refuses(self, dotted: str) -> bool:
        known = self._verdicts.get(dotted)
        if known is None:
            parts = dotted.split(".")
            known = dotted.startswith(self._prefixes) or any(
                ".".join(parts[:count]) in self._exact for count in range(1, len(parts) + 1)
            )
            self._verdicts[dotted] = known
        return known


def _text_of(call: ast.Call) -> str:
    """Return the first argument that is text; "" if none is."""
    values = (each.value for each in call.args if isinstance(each, ast.Constant))
    return next((value for value in values if isinstance(value, str)), "")


def _bound(scope: _Scope) -> Iterator[str]:
    """Yield the names that a scope binds itself."""
    if isinstance(scope, _Function):
        arguments = scope.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
            if each is not None:
                yield each.arg
    waiting: list[ast.AST] = [scope.body] if isinstance(scope, ast.Lambda) else [*scope.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue  # what is in it is bound there
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (each.asname or each.name.partition(".")[0] for each in node.names)
        waiting += ast.iter_child_nodes(node)
