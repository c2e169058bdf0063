"""What is told of an exception: user frames only, source lines of the submitted code, no path of ours."""

from __future__ import annotations

import os
import traceback

__all__ = ["describe", "message_of"]

# What a face shows of a message, and what a deep recursion or a long exception chain can make of a traceback.
_MESSAGE = 64 << 10
_TRACEBACK = 256 << 10
_CUT = "\n[...]\n"


def message_of(error: BaseException) -> str:
    """Return ``str(error)`` even if that raises."""
    try:
        return _clean(str(error))
    except BaseException:
        return f"<exception {type(error).__name__} whose text could not be made>"


def describe(error: BaseException, root: str) -> dict[str, str]:
    """Return type, module, message and traceback of an exception of code below ``root``."""
    kind = type(error)
    return {
        "type": _clean(kind.__qualname__.rpartition(".")[2])[:256],
        "module": _clean(str(kind.__module__))[:256],
        "message": _cut(message_of(error), _MESSAGE),
        "traceback": _cut(_format(error, root), _TRACEBACK),
    }


def _format(error: BaseException, root: str) -> str:
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        _trim(report, root + os.sep, set())
        return _clean("".join(report.format()))
    except BaseException:  # a hostile __str__, __cause__ or __traceback__; or the end of the memory
        return f"{type(error).__name__}: {message_of(error)}\n"


def _trim(report: traceback.TracebackException, root: str, seen: set[int]) -> None:
    if id(report) in seen:
        return
    seen.add(id(report))
    frames = []
    for frame in report.stack:
        if frame.filename.startswith(root):
            frame.line  # noqa: B018  (read by its real name, before it loses that)
            frame.filename = frame.filename[len(root) :]
            frames.append(frame)
        elif frame.filename.startswith("<") and not frame.filename.startswith("<frozen"):
            frames.append(frame)
    report.stack = traceback.StackSummary.from_list(frames)
    filename = getattr(report, "filename", None)  # SyntaxError
    if isinstance(filename, str) and filename.startswith(root):
        report.filename = filename[len(root) :]
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _trim(other, root, seen)


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(text: str, most: int) -> str:
    if len(text.encode()) <= most:
        return text
    half = most // 2 - len(_CUT)
    data = text.encode()
    return data[:half].decode("utf-8", "ignore") + _CUT + data[-half:].decode("utf-8", "ignore")
