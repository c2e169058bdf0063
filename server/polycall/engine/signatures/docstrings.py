"""What a docstring says: its first paragraph, its parameters, what is returned; in Google, NumPy and Sphinx style."""

from __future__ import annotations

import inspect
import re

__all__ = ["parameter_descriptions", "return_description", "summary"]

_LONGEST = 4096  # characters of one description; the longest text field of a package
_SPHINX = re.compile(r":param(?:\s+[^:\s]+)??\s+\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_RETURN = re.compile(r":returns?\s*:\s*(.*)")
_GOOGLE_HEAD = re.compile(
    r"(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters|Attributes):\s*"
)
_GOOGLE_RETURN = re.compile(r"Returns?:\s*(.*)")
_GOOGLE_TYPE = re.compile(r"[\w.]+(?:\[[\w., |\[\]]*\])?(?:\s*\|\s*\w+)*:\s+(.*)")  # "dict[str, int]: How many."
_GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_HEADS = ("Parameters", "Other Parameters", "Attributes")
_NUMPY_ITEM = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


def summary(docstring: str) -> str:
    """Return the first paragraph on one line, at most 4096 characters."""
    lines: list[str] = []
    for line in inspect.cleandoc(docstring).splitlines():
        if not line.strip():
            break
        lines.append(line.strip())
    return _short(lines)


def parameter_descriptions(docstring: str) -> dict[str, str]:
    """Return what is said of each parameter."""
    lines = inspect.cleandoc(docstring).splitlines()
    found: dict[str, str] = {}
    for index, line in enumerate(lines):
        if sphinx := _SPHINX.fullmatch(line.strip()):
            body = _indented(lines, index + 1, _indent(line))
            found.setdefault(sphinx[1], _short([sphinx[2], *body]))
        elif _GOOGLE_HEAD.fullmatch(line.strip()):
            _google(lines, index + 1, _indent(line), found)
        elif line.strip() in _NUMPY_HEADS and index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}:
            _numpy(lines, index + 2, found)
    return {name: text for name, text in found.items() if text}


def return_description(docstring: str) -> str:
    """Return what is said of the returned value; "" if nothing is."""
    lines = inspect.cleandoc(docstring).splitlines()
    for index, line in enumerate(lines):
        text = line.strip()
        if sphinx := _SPHINX_RETURN.fullmatch(text):
            return _short([sphinx[1], *_indented(lines, index + 1, _indent(line))])
        if google := _GOOGLE_RETURN.fullmatch(text):
            said = [google[1], *_indented(lines, index + 1, _indent(line))]
            first = next((position for position, part in enumerate(said) if part), 0)
            if typed := _GOOGLE_TYPE.fullmatch(said[first]):
                said[first] = typed[1]
            return _short(said)
        if text == "Returns" and index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}:
            # a type, then its text indented; or, as many write it, the text alone
            body = _indented(lines, index + 3, 0)
            return _short(body or [part.strip() for part in lines[index + 2 : index + 3]])
    return ""


def _google(lines: list[str], start: int, outer: int, found: dict[str, str]) -> None:
    level = None
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        indent = _indent(line)
        if indent <= outer:
            return
        if level is None:
            level = indent
        if indent == level and (item := _GOOGLE_ITEM.fullmatch(line.strip())):
            found.setdefault(item[1], _short([item[2], *_indented(lines, index + 1, level)]))


def _numpy(lines: list[str], start: int, found: dict[str, str]) -> None:
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip() or _indent(line) > 0:
            continue
        if index + 1 < len(lines) and lines[index + 1].strip() and set(lines[index + 1].strip()) == {"-"}:
            return
        if item := _NUMPY_ITEM.fullmatch(line.strip()):
            text = _short(_indented(lines, index + 1, 0))
            for name in item[1].split(","):
                found.setdefault(name.strip().lstrip("*"), text)


def _indented(lines: list[str], start: int, level: int) -> list[str]:
    """Return the lines from ``start`` that are indented deeper than ``level``, up to an empty line."""
    body = []
    for line in lines[start:]:
        if not line.strip() or _indent(line) <= level:
            break
        body.append(line.strip())
    return body


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _short(lines: list[str]) -> str:
    text = " ".join(line for line in lines if line)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
