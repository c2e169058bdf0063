"""What the comment before a declaration says: JSDoc, with the types that JavaScript has nowhere else to write."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tree_sitter import Node

from polycall.engine.typescript.scripts import text_of_node

__all__ = ["Doc", "Param", "comment_before", "read_doc", "typedefs"]

_LONGEST = 4096  # characters of one description; the longest text field of a package
_TAG = re.compile(r"^\s*@(\w+)\s*(.*)$")
_NAME = re.compile(r"^(\[[^\]]*\]|[\w$.\[\]]+)\s*(?:-\s*)?(.*)$", re.DOTALL)


@dataclass(slots=True)
class Param:
    """A documented parameter or property; its name is dotted if it is a member of another one's value."""

    name: str
    type: str
    description: str
    optional: bool
    default: str = ""


@dataclass(slots=True)
class Doc:
    """A comment; types are as they are written, "" where there is none."""

    description: str = ""
    params: list[Param] = field(default_factory=list)
    returns: str = ""
    returns_description: str = ""
    type: str = ""
    name: str = ""  # of a typedef
    tags: dict[str, str] = field(default_factory=dict)


def comment_before(node: Node) -> str:
    """Return the JSDoc comment of a declaration, "" without one; it stands before ``export`` or ``const``, too."""
    at: Node | None = node
    while at is not None and at.type not in ("program", "statement_block", "object", "class_body", "interface_body"):
        before = at.prev_sibling
        while before is not None and before.type in (",", ";", "decorator"):
            before = before.prev_sibling
        if before is not None and before.type == "comment" and (text := text_of_node(before)).startswith("/**"):
            return text
        if at.type in ("property_signature", "method_definition", "pair", "public_field_definition"):
            return ""
        at = at.parent
    return ""


def read_doc(comment: str) -> Doc:
    """Read a comment."""
    doc = Doc()
    for tag, text in _tags(comment):
        if not tag:
            paragraph = text.strip().split("\n\n", 1)[0]
            doc.description = _short(paragraph)
        elif tag in ("param", "arg", "argument", "property", "prop"):
            kind, rest = _braced(text)
            if found := _NAME.match(rest.strip()):
                doc.params.append(_param(kind, found[1], found[2]))
        elif tag in ("returns", "return"):
            doc.returns, rest = _braced(text)
            doc.returns_description = _short(rest)
        elif tag == "type":
            doc.type, _ = _braced(text)
        elif tag == "typedef":
            doc.type, rest = _braced(text)
            doc.name = rest.split(maxsplit=1)[0] if rest.split() else ""
        else:
            doc.tags.setdefault(tag, text.strip())
    return doc


def typedefs(body: Node) -> dict[str, Doc]:
    """Return the types that the comments of a file define."""
    found = {}
    for node in body.named_children:
        text = text_of_node(node) if node.type == "comment" else ""
        if text.startswith("/**") and "@typedef" in text:
            doc = read_doc(text)
            if doc.name:
                found[doc.name] = doc
    return found


def _tags(comment: str) -> list[tuple[str, str]]:
    lines = [line.strip().removeprefix("*").removeprefix(" ") for line in comment[3:-2].split("\n")]
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in lines:
        if tag := _TAG.match(line):
            found.append((tag[1], [tag[2]]))
        else:
            found[-1][1].append(line)
    return [(tag, "\n".join(text)) for tag, text in found]


def _param(kind: str, name: str, text: str) -> Param:
    optional = name.startswith("[") or kind.endswith("=")
    name, _, default = name.strip("[]").partition("=") if name.startswith("[") else (name, "", "")
    return Param(name.strip(), kind.removesuffix("="), _short(text), optional, default.strip())


def _braced(text: str) -> tuple[str, str]:
    """Return what stands in the braces at the beginning, and what follows."""
    text = text.lstrip()
    if not text.startswith("{"):
        return "", text
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return _as_typescript(text[1:index].strip()), text[index + 1 :]
    return "", text


def _as_typescript(kind: str) -> str:
    """Return a JSDoc type as TypeScript writes it; the ``=`` of an optional one stays."""
    kind = kind.removeprefix("...").replace(".<", "<")
    if kind in ("*", "?"):
        return "any"
    if kind.startswith("?"):
        kind = f"{kind[1:]} | null"
    elif kind.startswith("!"):
        kind = kind[1:]
    if kind.endswith("?") and len(kind) > 1:
        kind = f"{kind[:-1]} | null"
    return re.sub(r"\bObject<", "Record<", kind)


def _short(text: str) -> str:
    words = " ".join(text.split()).removeprefix("- ")
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
