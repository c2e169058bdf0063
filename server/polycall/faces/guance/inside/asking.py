"""Questions to the server, and what is not here at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DATA_ERROR", "Missing", "asked", "batches", "error_class", "not_here"]

_AT_ONCE = 100  # keys of a question; the server takes no more

# what the sandbox gives to every adapter
AskRefused: type[Exception]
ask: Callable[[str, Any], Any]


def asked(method: str, **question: Any) -> Any:
    """Ask the server; what it refuses is raised as the vendor's libraries would."""
    try:
        return ask(method, question)  # noqa: F821  the sandbox defines both
    except AskRefused as refusal:  # noqa: F821
        text = str(refusal)
    name, _, rest = text.partition(": ")
    if name in _ERRORS:
        raise _ERRORS[name](rest)
    raise Exception(text)


def batches(keys: list[str]) -> list[list[str]]:
    """Return keys in the numbers that the server takes at once."""
    return [keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE)]


def error_class(module: str, name: str) -> type[Exception]:
    """Return a class that shows as one of the vendor's libraries does."""
    return type(name, (Exception,), {"__module__": module})


DATA_ERROR = error_class("redis.exceptions", "DataError")
_ERRORS = {
    "ResponseError": error_class("redis.exceptions", "ResponseError"),
    "EntityNotFound": error_class("worker.tasks.func", "EntityNotFound"),
    "FuncCircularCall": error_class("worker.tasks.func", "FuncCircularCall"),
    "FuncCallChainTooLong": error_class("worker.tasks.func", "FuncCallChainTooLong"),
}


class Missing:
    """Says of what it does not have that it is not there."""

    _name = ""

    def __getattr__(self, name: str) -> Any:
        raise not_here(f"{self._name}.{name}", name)


def not_here(what: str, name: str) -> Exception:
    """Return what is raised for a name that is not here."""
    if name.startswith("_"):  # what Python itself asks of objects
        return AttributeError(name)
    return NotImplementedError(f"DFF.{what} is not available on this server")
