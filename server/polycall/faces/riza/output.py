"""What code printed, as JSON strings that are bounded whatever was printed.

Bytes that are no text become U+FFFD. As JSON, control characters take up to six bytes and line ends two, so the bound
is on what goes over the wire. The work is done piece by piece: no step of it keeps the interpreter to itself for long.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

import msgspec

from polycall.engine.limits import KIB
from polycall.quick import dataclass

__all__ = ["Text"]

_PIECE_BYTES = 256 * KIB


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON string. ``cut`` tells whether something was left out, ``open_line`` whether it ends within a line."""

    json: msgspec.Raw
    cut: bool
    open_line: bool

    @classmethod
    def of(cls, data: bytes, most: int) -> Text:
        """Return output as a string of at most ``most`` bytes of JSON."""
        kept: list[bytes] = []
        left, open_line, cut = most - len(b'""'), False, False
        for piece in _pieces(data):
            text = _inner(piece)
            left -= len(text)
            if left < 0:
                cut = True
                break
            kept.append(text)
            open_line = not piece.endswith("\n")
        return cls(_quoted(kept), cut, open_line)

    def with_lines(self, lines: Iterable[str]) -> msgspec.Raw:
        """Return the string with lines of their own at its end."""
        more = "".join(f"{line}\n" for line in lines)
        if not more:
            return self.json
        return _quoted([bytes(self.json)[1:-1], _inner(f"\n{more}" if self.open_line else more)])


def _pieces(data: bytes) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for start in range(0, len(data), _PIECE_BYTES):
        piece = decoder.decode(data[start : start + _PIECE_BYTES])
        if piece:
            yield piece
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest


def _inner(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _quoted(parts: Iterable[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"".join((b'"', *parts, b'"')))
