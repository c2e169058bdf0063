"""The hooks of the adapter (see ``polycall.sandbox.inside``)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from polycall.faces.guance.inside.dff import DFF
from polycall.faces.guance.inside.log import Log
from polycall.faces.guance.inside.responses import Response
from polycall.faces.guance.inside.values import dumps_text, exact_text, plain_value, repr_text

__all__ = ["encode", "prepare", "resolve"]

# what the sandbox gives to every adapter
UserFailure: Callable[[BaseException], Exception]


def prepare(module_globals: dict[str, Any], options: dict[str, Any]) -> None:
    """Give the script its ``DFF`` object and a ``print`` that goes to the execution's log."""
    log = Log()
    module_globals["DFF"] = DFF(log)
    module_globals["print"] = log.print


def resolve(module_globals: dict[str, Any], name: str, options: dict[str, Any]) -> Any:
    """Return the function of that name; raise KeyError if it may not be called from outside.

    Functions that ``DFF.API`` registered may. If it registered none, public functions of the script itself may.
    """
    dff = module_globals.get("DFF")
    registered = dff.registered if isinstance(dff, DFF) else {}
    if options.get("collect"):
        return lambda: list(dff.described.values()) if isinstance(dff, DFF) else []
    found = module_globals[name]
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
    if options.get("collect"):
        return json.dumps(value, ensure_ascii=False)
    response = value if isinstance(value, Response) else Response(value)
    value = response.data
    raw = json.dumps(plain_value(value, whole=True), ensure_ascii=False, separators=(",", ":"))
    return_type = options.get("returnType", "raw")
    if return_type == "raw" or (value is None and return_type != "ALL"):
        return raw
    shown: dict[str, Callable[[object], str]] = {"repr": repr_text, "jsonDumps": dumps_text}
    if return_type in shown:
        return json.dumps(exact_text(shown[return_type](value)), ensure_ascii=False)
    texts = {kind: None if value is None else exact_text(show(value)) for kind, show in shown.items()}
    control = response.control(bool(options.get("files")))
    rest = json.dumps({**texts, "_responseControl": control}, ensure_ascii=False, separators=(",", ":"))
    return f'{{"raw":{raw},{rest[1:]}'
