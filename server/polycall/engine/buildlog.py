"""The log of a build while it is written: its beginning and its end, and a word on what was left out between."""

from __future__ import annotations

import codecs

__all__ = ["BuildLog"]

# What a resolver says of a conflict is at the end, what it was asked at the beginning.
_HEAD, _TAIL = 64 << 10, 192 << 10


class BuildLog:
    """Takes bytes and lines as they come; holds some 256 KiB of them, twice that for moments."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._head = ""
        self._tail: list[str] = []
        self._held = 0  # characters of the tail
        self._length = 0  # of all there ever was
        self._last = "\n"

    @property
    def truncated(self) -> bool:
        """Whether something was left out."""
        return self._length > _HEAD + _TAIL

    def write(self, data: bytes) -> None:
        """Take what a tool printed."""
        self._add(self._decode(data))

    def say(self, line: str) -> None:
        """Take a line of our own."""
        self._add(f"{line}\n" if self._last == "\n" else f"\n{line}\n")

    def text(self) -> str:
        """Return the log so far, as any database holds it."""
        tail = "".join(self._tail)
        if not self.truncated:
            return self._head + tail
        left_out = self._length - _HEAD - _TAIL
        return f"{self._head}\n[{left_out} characters of the log were left out here]\n{tail[-_TAIL:]}"

    def _add(self, text: str) -> None:
        if not text:
            return
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._length += len(text)
        self._last = text[-1]
        if room := _HEAD - len(self._head):
            self._head += text[:room]
            text = text[room:]
        if text:
            self._tail.append(text)
            self._held += len(text)
        if self._held > 2 * _TAIL:  # not at every line: what is kept is copied
            self._tail = ["".join(self._tail)[-_TAIL:]]
            self._held = _TAIL
