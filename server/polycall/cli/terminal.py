"""What goes to the user's screen. Text that came from elsewhere is made harmless before a terminal sees it."""

from __future__ import annotations

import codecs
import os
import re
import sys
import threading
import time
from types import TracebackType
from typing import BinaryIO, Self, TextIO

__all__ = ["LiveOutput", "Progress", "printable", "say", "styled", "tell"]

# Control characters, C1 included, can make a terminal do things; line ends and tabs are what output is made of. Those
# of bidirectional text make it show in another order than it is in (CVE-2021-42574).
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_QUIET_S = 1.0  # shorter waits need no explanation (issue: progress for anything over a second)
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}


def printable(text: str) -> str:
    """Return the text with control characters, except newline and tab, spelled out."""
    return _CONTROLS.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def styled(text: str, colour: str, stream: TextIO) -> str:
    """Return the text in a colour if the stream is a terminal and NO_COLOR (no-color.org) is not set."""
    if not colour or not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def say(text: str = "", colour: str = "") -> None:
    """Print a result: standard output; as it is for a pipe, made harmless for a terminal."""
    shown = printable(text) if sys.stdout.isatty() else text
    print(styled(shown, colour, sys.stdout), flush=True)


def tell(text: str, colour: str = "") -> None:
    """Print what is about the result: standard error, always made harmless."""
    print(styled(printable(text), colour, sys.stderr), file=sys.stderr, flush=True)


class LiveOutput:
    """Standard output and error of a run, piece by piece: bytes as they are for a pipe, harmless for a terminal."""

    def __init__(self) -> None:
        self._pipes = {1: _Pipe(sys.stdout), 2: _Pipe(sys.stderr)}

    def write(self, descriptor: int, data: bytes) -> None:
        """Print a piece of 1 (standard output) or 2 (standard error); a character may be split over two pieces."""
        self._pipes[descriptor].write(data)

    def end_line(self) -> None:
        """End every line that the run left open, so that what follows stands on its own."""
        for pipe in self._pipes.values():
            pipe.end_line()


class _Pipe:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = False

    def write(self, data: bytes) -> None:
        if not data:
            return
        if self._stream.isatty():
            self._stream.write(printable(self._decoder.decode(data)))
        else:
            buffer: BinaryIO = self._stream.buffer
            buffer.write(data)
            buffer.flush()
        self._stream.flush()
        self._open = not data.endswith(b"\n")

    def end_line(self) -> None:
        if self._open:
            self._stream.write("\n")
            self._stream.flush()
            self._open = False


class Progress:
    """Says on a terminal what is being waited for, once that takes longer than a second; else nothing."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Say no more, and leave no trace on the line. Calling it again changes nothing."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _show(self) -> None:
        begun = time.monotonic()
        shown = False
        while not self._stopped.wait(_QUIET_S):
            sys.stderr.write(f"\r\x1b[K{self._label} … {time.monotonic() - begun:.0f} s  (Ctrl-C stops)")
            sys.stderr.flush()
            shown = True
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
