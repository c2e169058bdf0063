"""The files of a source, and what a name in them stands for."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

__all__ = ["Found", "Scope", "Scripts", "text_of_node", "type_in"]

_MOST_FILES = 100  # that are followed from one; a function's types come from a handful
_MOST_HOPS = 20  # from import to import until a name is defined
_LANGUAGE = Language(tree_sitter_typescript.language_typescript())
_TSX = Language(tree_sitter_typescript.language_tsx())
# What an import may leave out of a file's name, or write for it: ./x.js often stands for ./x.ts.
_SUFFIXES = ("", ".ts", ".mts", ".tsx", ".d.ts", ".js", ".mjs", ".cjs", "/index.ts", "/index.js")
_JAVASCRIPT = (".js", ".mjs", ".cjs", ".jsx")
_NAMED = {
    *("function_declaration", "generator_function_declaration", "function_signature", "class_declaration"),
    *("abstract_class_declaration", "interface_declaration", "type_alias_declaration", "enum_declaration"),
    *("internal_module", "module"),
}


def text_of_node(node: Node | None) -> str:
    """Return a node's text; "" without one."""
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def type_in(text: str) -> Node | None:
    """Return the type that a text is, such as the one in a JSDoc comment."""
    tree = Parser(_LANGUAGE).parse(f"type T = {text};".encode(errors="replace"))
    alias = tree.root_node.named_child(0)
    if tree.root_node.has_error or alias is None or alias.type != "type_alias_declaration":
        return None
    return alias.child_by_field_name("value")


@dataclass(eq=False)
class Scope:
    """A file or a namespace: what its names are declared as, imported from and exported as."""

    path: str
    body: Node
    declared: dict[str, list[Node]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # (specifier, name there; "*": all of it)
    exports: dict[str, Node | str | tuple[str, str]] = field(default_factory=dict)  # node, name here, name elsewhere
    everything_of: list[str] = field(default_factory=list)  # specifiers of `export *`
    parent: Scope | None = None

    def __post_init__(self) -> None:
        for node in self.body.named_children:
            self._take(node)

    @property
    def is_typescript(self) -> bool:
        """Whether its author could write types."""
        return not self.path.endswith(_JAVASCRIPT)

    def _take(self, node: Node) -> None:
        kind = node.type
        if kind == "import_statement":
            self._import(node)
        elif kind == "export_statement":
            self._export(node)
        elif kind in ("ambient_declaration", "expression_statement") and node.named_children:
            inner = node.named_children[0]
            if inner.type == "assignment_expression":
                self._assign(inner)
            else:
                self._take(inner)
        elif kind in ("lexical_declaration", "variable_declaration"):
            for each in node.named_children:
                if each.type == "variable_declarator":
                    self._variable(each)
        elif kind in _NAMED and (name := text_of_node(node.child_by_field_name("name"))):
            self.declared.setdefault(name, []).append(node)

    def _variable(self, node: Node) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return
        if name.type == "identifier":
            self.declared.setdefault(text_of_node(name), []).append(node)
        specifier = _required(value)
        if specifier and name.type == "object_pattern":
            for each in name.named_children:
                if each.type == "shorthand_property_identifier_pattern":
                    self.imports[text_of_node(each)] = (specifier, text_of_node(each))
        elif specifier:
            self.imports[text_of_node(name)] = (specifier, "*")

    def _import(self, node: Node) -> None:
        specifier = _string(node.child_by_field_name("source"))
        for clause in node.named_children:
            if clause.type != "import_clause":
                continue
            for each in clause.named_children:
                if each.type == "identifier":
                    self.imports[text_of_node(each)] = (specifier, "default")
                elif each.type == "namespace_import":
                    self.imports[text_of_node(each.named_children[0])] = (specifier, "*")
                elif each.type == "named_imports":
                    for one in each.named_children:
                        name = text_of_node(one.child_by_field_name("name"))
                        bound = text_of_node(one.child_by_field_name("alias")) or name
                        self.imports[bound] = (specifier, name)

    def _export(self, node: Node) -> None:
        specifier = _string(node.child_by_field_name("source"))
        default = any(child.type == "default" for child in node.children)
        if (declaration := node.child_by_field_name("declaration")) is not None:
            self._take(declaration)
            for name in _names(declaration):
                self.exports["default" if default else name] = name
        elif (value := node.child_by_field_name("value")) is not None:
            self.exports["default"] = text_of_node(value) if value.type == "identifier" else value
        for clause in node.named_children:
            if clause.type == "export_clause":
                for each in clause.named_children:
                    name = text_of_node(each.child_by_field_name("name"))
                    bound = text_of_node(each.child_by_field_name("alias")) or name
                    self.exports[bound] = (specifier, name) if specifier else name
            elif clause.type == "namespace_export":
                self.exports[text_of_node(clause.named_children[0])] = (specifier, "*")
        if specifier and any(child.type == "*" for child in node.children):
            self.everything_of.append(specifier)

    def _assign(self, node: Node) -> None:
        """Take ``module.exports = ...`` and ``exports.name = ...``."""
        left, right = text_of_node(node.child_by_field_name("left")), node.child_by_field_name("right")
        if right is None:
            return
        value = text_of_node(right) if right.type == "identifier" else right
        if left == "module.exports" and right.type == "object":
            for each in right.named_children:
                if each.type == "shorthand_property_identifier":
                    self.exports[text_of_node(each)] = text_of_node(each)
                elif each.type == "method_definition":
                    self.exports[text_of_node(each.child_by_field_name("name"))] = each
                elif each.type == "pair" and (inner := each.child_by_field_name("value")) is not None:
                    name = _string(each.child_by_field_name("key"))
                    self.exports[name] = text_of_node(inner) if inner.type == "identifier" else inner
        elif left == "module.exports":
            self.exports["default"] = value
        elif left.startswith(("exports.", "module.exports.")):
            self.exports[left.rpartition(".")[2]] = value


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for: its declarations, of which an interface may have several, and where they are."""

    scope: Scope
    nodes: tuple[Node, ...]


class Scripts:
    """The files of a source; each is parsed when it is asked for."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._known: dict[str, Scope | None] = {}

    def file(self, path: str) -> Scope | None:
        """Return a file; None if there is none, or too many were asked for."""
        if path not in self._known:
            data = self._read(path) if len(self._known) < _MOST_FILES * len(_SUFFIXES) else None
            scope = None
            if data is not None and sum(known is not None for known in self._known.values()) < _MOST_FILES:
                parser = Parser(_TSX if path.endswith((".tsx", ".jsx")) else _LANGUAGE)
                scope = Scope(path, parser.parse(data).root_node)
            self._known[path] = scope
        return self._known[path]

    def imported(self, scope: Scope, specifier: str) -> Scope | None:
        """Return the file that an import of another names; None if it is not in the source."""
        if not specifier.startswith(("./", "../")):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(scope.path), specifier))
        if path.startswith(".."):
            return None
        stems = [path, *(path.removesuffix(end) for end in _JAVASCRIPT if path.endswith(end))]
        return next(
            (found for stem in stems for suffix in _SUFFIXES if (found := self.file(stem + suffix)) is not None), None
        )

    def find(self, scope: Scope, names: list[str]) -> Found | None:
        """Return what a dotted name stands for in a scope; None if it is not defined in the source."""
        at: Scope | None = scope
        while at is not None:
            if (found := self._in(at, names, _MOST_HOPS)) is not None:
                return found
            at = at.parent
        return None

    def exported(self, scope: Scope, name: str, hops: int = _MOST_HOPS) -> Found | None:
        """Return what a file exports under a name; None if that is not defined in the source."""
        if hops <= 0:
            return None
        export = scope.exports.get(name)
        if isinstance(export, Node):
            return Found(scope, (export,))
        if isinstance(export, str):
            return self._in(scope, [export], hops - 1)
        if export is not None:
            other = self.imported(scope, export[0])
            return self.exported(other, export[1], hops - 1) if other is not None else None
        for specifier in scope.everything_of:
            other = self.imported(scope, specifier)
            if other is not None and (found := self.exported(other, name, hops - 1)) is not None:
                return found
        return None

    def _in(self, scope: Scope, names: list[str], hops: int) -> Found | None:
        first, rest = names[0], names[1:]
        if hops <= 0:
            return None
        if first in scope.imports:
            specifier, name = scope.imports[first]
            other = self.imported(scope, specifier)
            if other is None:
                return None
            if name == "*":
                return self._member(other, rest, hops - 1) if rest else None
            found = self.exported(other, name, hops - 1)
            return self._within(found, rest, hops - 1) if found is not None else None
        if first in scope.declared:
            return self._within(Found(scope, tuple(scope.declared[first])), rest, hops - 1)
        return None

    def _within(self, found: Found, names: list[str], hops: int) -> Found | None:
        """Return a member of a namespace."""
        if not names:
            return found
        for node in found.nodes:
            body = node.child_by_field_name("body")
            if node.type in ("internal_module", "module") and body is not None:
                inner = Scope(found.scope.path, body, parent=found.scope)
                if (member := self._in(inner, names, hops)) is not None:
                    return member
        return None

    def _member(self, scope: Scope, names: list[str], hops: int) -> Found | None:
        found = self.exported(scope, names[0], hops)
        return self._within(found, names[1:], hops) if found is not None else None


def _names(declaration: Node) -> Iterator[str]:
    if declaration.type in ("lexical_declaration", "variable_declaration"):
        for each in declaration.named_children:
            if each.type == "variable_declarator":
                yield text_of_node(each.child_by_field_name("name"))
    elif name := text_of_node(declaration.child_by_field_name("name")):
        yield name


def _string(node: Node | None) -> str:
    text = text_of_node(node)
    return text[1:-1] if text[:1] in ("'", '"') and len(text) > 1 else text


def _required(node: Node | None) -> str:
    """Return the specifier of ``require("...")``; "" for anything else."""
    if (
        node is None
        or node.type != "call_expression"
        or text_of_node(node.child_by_field_name("function")) != "require"
    ):
        return ""
    arguments = node.child_by_field_name("arguments")
    first = arguments.named_child(0) if arguments is not None else None
    return _string(first) if first is not None and first.type == "string" else ""
