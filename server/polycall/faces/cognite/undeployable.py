"""Why a function cannot be deployed, for whoever wrote it."""

from __future__ import annotations

from polycall.faces.cognite.functiondata import FunctionError

__all__ = ["Undeployable"]

_TRACE_CHARS = 2000  # of the end of what the tools said, as the vendor shows it


class Undeployable(Exception):
    """Raised when it is the function's own fault that it cannot be deployed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.error = FunctionError(_text(message), _text((log or message)[-_TRACE_CHARS:]))


def _text(words: str) -> str:
    """Return what code said as text that can be kept: it may hold halves of characters."""
    return words.encode(errors="replace").decode()
