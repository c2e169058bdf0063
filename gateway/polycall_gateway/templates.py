"""Path templates of ``google.api.http``: what a path must look like to be bound.

Grammar (google/api/http.proto)::

    Template = "/" Segments [ ":" LITERAL ]
    Segments = Segment { "/" Segment }
    Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from polycall_gateway.errors import InvalidConfig

__all__ = ["Template"]

_VARIABLE = re.compile(r"\{[a-z][a-z0-9_.]*(?:=([^{}]+))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~\-]+")
_WILDCARDS = {"*": "[^/]+", "**": ".*"}


@dataclass(frozen=True, slots=True)
class Template:
    """A template without its field names: wildcards and literals are all that decides what matches."""

    segments: tuple[str, ...]
    verb: str | None = None

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse a template, such as ``/polycall/v1/{function=packages/*/functions/*}:run``.

        Raises:
            InvalidConfig: it is not one.
        """
        flat = _VARIABLE.sub(lambda match: match[1] or "*", text)
        path, colon, verb = flat.partition(":")
        root, *segments = path.split("/")
        words = [segment for segment in segments if segment not in _WILDCARDS] + ([verb] if colon else [])
        if root or not segments or not all(map(_LITERAL.fullmatch, words)):
            raise InvalidConfig(f"{text!r} is not a path template of google.api.http")
        return cls(tuple(segments), verb if colon else None)

    @property
    def regex(self) -> str:
        """Return the RE2 expression that the whole path, without its query, has to match."""
        path = "/".join(_WILDCARDS.get(segment) or segment.replace(".", r"\.") for segment in self.segments)
        return f"^/{path}:{self.verb}$" if self.verb else f"^/{path}$"

    @property
    def path(self) -> str | None:
        """Return the only path that matches; None if there are more."""
        if _WILDCARDS.keys() & set(self.segments):
            return None
        return f"{self.prefix}:{self.verb}" if self.verb else self.prefix

    @property
    def prefix(self) -> str:
        """Return the literal segments before the first wildcard, such as ``/v1/custom_functions``."""
        literal: list[str] = []
        for segment in self.segments:
            if segment in _WILDCARDS:
                break
            literal.append(segment)
        return "/" + "/".join(literal)

    @property
    def rank(self) -> tuple[bool, tuple[int, ...], str]:
        """Return the order in which templates have to be tried: a literal wins over a variable, a verb over none."""
        weights = tuple({"*": 1, "**": 2}.get(segment, 0) for segment in self.segments)
        return (self.verb is None, weights, self.regex)
