"""Guance inside the sandbox: the ``DFF`` object that scripts expect, and results as the vendor shows them.

Read as text and sent along with a run, so standard library only. ``prepare``, ``resolve`` and ``encode`` are hooks of
an adapter (see ``polycall.sandbox.inside``). It shares the process of the user's code and is trusted for nothing.
"""

from __future__ import annotations

import builtins
import datetime
import fnmatch
import json
import math
import os
import sys
import time
from collections.abc import Callable, Hashable
from typing import Any

UserFailure: Callable[[BaseException], Exception]

_TIMEOUT_S, _API_TIMEOUT_S = (1, 3600), (1, 180)
_RESPONSE_CONTROL: dict[str, Any] = {
    "statusCode": None,
    "contentType": None,
    "headers": {},
    "allow304": False,
    "downloadFile": False,
}
# As JavaScript prints numbers, which the vendor's gateway does: whole ones in full below this, with an exponent above.
_LONGEST_WHOLE = 1e21


def prepare(module_globals: dict[str, Any], options: dict[str, Any]) -> None:
    """Give the script its ``DFF`` object and a ``print`` that goes to the execution's log."""
    log = _Log()
    module_globals["DFF"] = DFF(log)
    module_globals["print"] = log.print


def resolve(module_globals: dict[str, Any], name: str, options: dict[str, Any]) -> Any:
    """Return the function of that name; raise KeyError if it may not be called from outside.

    Functions that ``DFF.API`` registered may. If it registered none, public functions of the script itself may.
    """
    found = module_globals[name]
    dff = module_globals.get("DFF")
    registered = dff.registered if isinstance(dff, DFF) else ()
    if registered:
        if name not in registered:
            raise KeyError(name)
    elif name.startswith("_") or getattr(found, "__module__", None) != module_globals["__name__"]:
        raise KeyError(name)
    return found


def encode(value: object, options: dict[str, Any]) -> str:
    """Return the JSON text of ``data.result``. ``options["returnType"]`` is raw, repr, jsonDumps or ALL."""
    if isinstance(value, Exception):
        raise UserFailure(value)  # noqa: F821  the sandbox defines it
    raw = json.dumps(_plain(value, whole=True), ensure_ascii=False, separators=(",", ":"))
    return_type = options.get("returnType", "raw")
    if return_type == "raw" or (value is None and return_type != "ALL"):
        return raw
    shown: dict[str, Callable[[object], str]] = {"repr": _repr, "jsonDumps": _dumps}
    if return_type in shown:
        return json.dumps(_text(shown[return_type](value)), ensure_ascii=False)
    texts = {kind: None if value is None else _text(show(value)) for kind, show in shown.items()}
    rest = json.dumps({**texts, "_responseControl": _RESPONSE_CONTROL}, ensure_ascii=False, separators=(",", ":"))
    return f'{{"raw":{raw},{rest[1:]}'


def _repr(value: object) -> str:
    import pprint  # most results need none, and it takes half a millisecond

    return pprint.saferepr(value)


def _dumps(value: object) -> str:
    return json.dumps(_plain(value, whole=False), separators=(",", ":")).replace("/", "\\/")


def _plain(value: Any, *, whole: bool, above: frozenset[int] = frozenset()) -> Any:
    """Return the value in JSON's own types; ``whole`` turns 30.0 into 30. Raises ValueError for a cycle."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if whole and value.is_integer() and abs(value) < _LONGEST_WHOLE else float(value)
    if isinstance(value, datetime.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if not isinstance(value, dict | list | tuple):
        return _text(_repr(value))
    if id(value) in above:
        raise ValueError("Circular reference detected")
    above |= {id(value)}
    if isinstance(value, dict):
        return {_key(key): _plain(item, whole=whole, above=above) for key, item in value.items()}
    return [_plain(item, whole=whole, above=above) for item in value]


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key)
    plain = _plain(key, whole=False)
    return plain if isinstance(plain, str) else json.dumps(plain) if not isinstance(plain, list) else _text(str(key))


def _text(value: str) -> str:
    """Return exact, plain text; half of a surrogate pair, which JSON text cannot hold, becomes U+FFFD."""
    value = str.__str__(value)
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Log:
    """The execution's log: a time and the milliseconds since the script was loaded before every entry."""

    def __init__(self) -> None:
        self._since = time.time()

    def write(self, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        sys.stdout.write(f"[{stamp}.{int(now * 1000) % 1000:03d}] [+{int((now - self._since) * 1000)}ms] {text}\n")

    def print(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        if file is None and sys.stdout is sys.__stdout__:
            self.write((" " if sep is None else sep).join(map(str, values)))
        else:  # to where the script sends it, as it is
            builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


class _Kept:
    """Values by key (``DFF.CTX``, ``DFF.STORE``, ``DFF.CACHE``); nothing survives the call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: dict[Hashable, dict[str, Any]] = {}

    def __call__(self, key: str, **options: Any) -> Any:
        return self.get(key, **options)

    def __getattr__(self, name: str) -> Any:
        raise _missing(f"{self._name}.{name}", name)

    def get(self, key: str, scope: Hashable = None) -> Any:
        return self._values.get(scope, {}).get(key)

    def set(self, key: str, value: Any, scope: Hashable = None, *, not_exists: bool = False, **lifetime: Any) -> None:
        values = self._values.setdefault(scope, {})
        if not (not_exists and key in values):
            values[key] = value

    def has(self, key: str, scope: Hashable = None) -> bool:
        return key in self._values.get(scope, {})

    exists = has

    def keys(self, pattern: str = "*", scope: Hashable = None) -> list[str]:
        return fnmatch.filter(self._values.get(scope, {}), pattern)

    def get_all(self, scope: Hashable = None) -> dict[str, Any]:
        return dict(self._values.get(scope, {}))

    def incr(self, key: str, step: int = 1, scope: Hashable = None) -> int:
        values = self._values.setdefault(scope, {})
        values[key] = int(values.get(key, 0)) + step
        return int(values[key])

    def delete(self, key: str, scope: Hashable = None) -> None:
        self._values.get(scope, {}).pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class DFF:
    """What the vendor's engine offers to scripts, as far as this server has it."""

    def __init__(self, log: _Log) -> None:
        self.registered: dict[str, Callable[..., Any]] = {}
        self._log = log
        self.CTX, self.STORE, self.CACHE = _Kept("CTX"), _Kept("STORE"), _Kept("CACHE")

    def __getattr__(self, name: str) -> Any:
        raise _missing(name, name)

    def API(
        self,
        title: str | None = None,
        category: str | None = "general",
        tags: Any = None,
        timeout: int | None = None,
        api_timeout: int | None = None,
        **rest: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Let a function be called from outside. The server has read the time limits before the run."""
        if title is not None and not isinstance(title, str):
            raise TypeError("`title` should be a string")
        _check_seconds("timeout", timeout, *_TIMEOUT_S)
        _check_seconds("api_timeout", api_timeout, *_API_TIMEOUT_S)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.registered[function.__name__] = function
            return function

        return register

    def LOG(self, *values: object) -> None:
        """Add an entry to the log."""
        self._log.write(" ".join(map(str, values)))

    def ENV(self, name: str) -> str | None:
        """Return a variable of the version's environment; None without it."""
        return os.environ.get(name)


def _check_seconds(name: str, value: Any, low: int, high: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"`{name}` should be an integer")
    if not low <= value <= high:
        raise ValueError(f"`{name}` should be between `{low}` and `{high}` (seconds)")


def _missing(what: str, name: str) -> Exception:
    if name.startswith("_"):  # what Python itself asks of objects
        return AttributeError(name)
    return NotImplementedError(f"DFF.{what} is not available on this server")
