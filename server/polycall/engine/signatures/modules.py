"""The modules of a source, and what a name in them stands for."""

from __future__ import annotations

import ast
import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["Alias", "ClassType", "Module", "Modules", "NotCompiled", "Outside", "Symbol", "parse", "statements"]

_MOST_MODULES = 100  # that are followed from one; a function's types come from a handful
_MOST_ANCESTORS = 100  # of a class
_MOST_HOPS = 20  # from import to import until a name is defined
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
# Other codecs are slow on hostile text (idna, punycode), or not about text at all.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "ascii": "ascii", "us-ascii": "ascii", "latin-1": "latin-1"}
_TYPE_ALIAS = getattr(ast, "TypeAlias", ())  # `type X = ...`: since Python 3.12


class NotCompiled(Exception):
    """Raised for a source that Python would not compile; says where, as far as it is known."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = line, column


@dataclass(frozen=True, slots=True)
class ClassType:
    """A class of the source."""

    module: Module
    node: ast.ClassDef


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that was given an expression; ``parameters`` are the type parameters of a ``type`` statement."""

    module: Module
    name: str
    value: ast.expr
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """A name that is not defined in the source. ``module`` "": it was not imported either, so it may be a builtin."""

    module: str
    name: str


Symbol = ClassType | Alias | Outside


def parse(data: bytes) -> ast.Module:
    """Return the tree of a module that compiles. Raises NotCompiled."""
    text = _decoded(data)
    if "\0" in text:
        raise NotCompiled("source code has null bytes", text[: text.index("\0")].count("\n") + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" warns on the author's screen, not on ours
            tree = ast.parse(text)
            # finds what the grammar allows and Python does not, such as `return` outside of a function; it is never run
            compile(tree, "<module>", "exec", dont_inherit=True)
    except SyntaxError as error:
        message = f"{type(error).__name__}: {error.msg}"
        raise NotCompiled(message, error.lineno or 0, max(error.offset or 0, 0)) from None
    except (RecursionError, MemoryError):
        raise NotCompiled("is nested too deeply, or too large") from None
    except (ValueError, OverflowError, SystemError) as error:
        raise NotCompiled(f"is not Python source: {error}") from None
    return tree


def _decoded(data: bytes) -> str:
    """Decode a module as Python would. Raises NotCompiled."""
    codec = "utf-8"
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    else:
        for line, text in enumerate(data[:4096].split(b"\n")[:2], 1):
            if cookie := _COOKIE.match(text):
                named = cookie[1].decode().lower().replace("_", "-")
                if named not in _CODECS:
                    raise NotCompiled(f"encoding {named[:40]!r} is not supported; use UTF-8", line)
                codec = _CODECS[named]
                break
            if text.strip() and not text.lstrip().startswith(b"#"):
                break
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise NotCompiled(f"is not valid {codec.upper()}", data[: error.start].count(b"\n") + 1) from None


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module's or class's body, those within ``if``, ``try`` and ``with`` too."""
    waiting = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If | ast.With | ast.Try):
            inner: list[ast.stmt] = []
            for part in ("body", "handlers", "orelse", "finalbody"):
                for item in getattr(node, part, ()):
                    inner += item.body if isinstance(item, ast.ExceptHandler) else [item]
            waiting += reversed(inner)


@dataclass(eq=False)
class Module:
    """One module: its tree, and what its names are bound to."""

    name: str
    path: str
    tree: ast.Module
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    values: dict[str, Alias] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)  # how often
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # (module, name in it; "": the module itself)

    def __post_init__(self) -> None:
        package = self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]
        for node in statements(self.tree.body):
            if isinstance(node, ast.ClassDef):
                self.classes.setdefault(node.name, node)
            elif isinstance(node, ast.Import):
                for name in node.names:
                    bound = name.asname or name.name.partition(".")[0]
                    self.imports.setdefault(bound, (name.name if name.asname else bound, ""))
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(package, node.module or "", node.level)
                for name in node.names:
                    self.imports.setdefault(name.asname or name.name, (base, name.name))
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._bind(target.id, node.value)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
                if node.value is not None:
                    self._bind(node.target.id, node.value)
            elif _TYPE_ALIAS and isinstance(node, _TYPE_ALIAS):
                parameters = tuple(parameter.name for parameter in node.type_params)
                self._bind(node.name.id, node.value, parameters)

    def _bind(self, name: str, value: ast.expr, parameters: tuple[str, ...] = ()) -> None:
        self.values[name] = Alias(self, name, value, parameters)
        self.assigned[name] = self.assigned.get(name, 0) + 1


class Modules:
    """The modules of a source by their dotted names; each is parsed when it is asked for."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._known: dict[str, Module | None] = {}

    def load(self, name: str, path: str, data: bytes) -> Module:
        """Return the module of a file. Raises NotCompiled."""
        module = Module(name, path, parse(data))
        self._known.setdefault(name, module)
        return module

    def find(self, name: str) -> Module | None:
        """Return a module of the source; None if there is none, or if it does not compile."""
        if name not in self._known:
            self._known[name] = None
            if len(self._known) <= _MOST_MODULES and all(part.isidentifier() for part in name.split(".")):
                base = name.replace(".", "/")
                for path in (f"{base}/__init__.py", f"{base}.py"):
                    if (data := self._read(path)) is not None:
                        with contextlib.suppress(NotCompiled):
                            self._known[name] = Module(name, path, parse(data))
                        break
        return self._known[name]

    def ancestors(self, class_type: ClassType) -> list[ClassType]:
        """Return a class and those of the source that it derives from."""
        found, waiting, seen = [class_type], [class_type], {class_type.node}
        while waiting and len(found) < _MOST_ANCESTORS:
            current = waiting.pop()
            for base in current.node.bases:
                symbol = self.resolve(current.module, base.value if isinstance(base, ast.Subscript) else base)
                if isinstance(symbol, ClassType) and symbol.node not in seen:
                    seen.add(symbol.node)
                    found.append(symbol)
                    waiting.append(symbol)
        return found

    def outside_bases(self, class_type: ClassType) -> list[Outside]:
        """Return what a class derives from outside of the source, through its own classes."""
        symbols = (
            self.resolve(each.module, base.value if isinstance(base, ast.Subscript) else base)
            for each in self.ancestors(class_type)
            for base in each.node.bases
        )
        return [symbol for symbol in symbols if isinstance(symbol, Outside)]

    def resolve(self, module: Module, node: ast.expr) -> Symbol | None:
        """Return what a name or dotted name of a module stands for; None for any other expression."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        names.append(node.id)
        return self._follow(module, list(reversed(names)))

    def _follow(self, module: Module, names: list[str]) -> Symbol:
        for _ in range(_MOST_HOPS):
            first, rest = names[0], names[1:]
            if first in module.classes:
                return _nested(module, module.classes[first], rest)
            if first in module.values and not rest and first not in module.imports:  # `except ImportError: X = None`
                return module.values[first]
            if first not in module.imports:
                return Outside(".".join(names[:-1]), names[-1])
            base, name = module.imports[first]
            dotted = [*base.split("."), *([name] if name else []), *rest]
            # the longest part that is a module of the source
            for length in range(len(dotted), 0, -1):
                found = self.find(".".join(dotted[:length])) if all(dotted[:length]) else None
                if found is not None:
                    break
            else:
                return Outside(".".join(dotted[:-1]), dotted[-1])
            if length == len(dotted):
                return Outside(".".join(dotted[:-1]), dotted[-1])  # a module is no type
            module, names = found, dotted[length:]
        return Outside("", names[-1])


def _nested(module: Module, node: ast.ClassDef, names: list[str]) -> Symbol:
    for name in names:
        inner = next((item for item in node.body if isinstance(item, ast.ClassDef) and item.name == name), None)
        if inner is None:
            return Outside(f"{module.name}.{node.name}", name)
        node = inner
    return ClassType(module, node)


def _absolute(package: str, name: str, level: int) -> str:
    """Return the absolute name of a relative import."""
    if not level:
        return name
    parts = package.split(".") if package else []
    base = parts[: len(parts) - (level - 1)] if level > 1 else parts
    return ".".join([*base, *([name] if name else [])])
