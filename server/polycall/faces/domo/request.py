"""What a caller may send: ``{inputVariables, settings: {getLogs}}``, and the inputs that a function declares."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polycall.domain import Convention, Function, Parameter
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.domo.types import Mismatch, describe, fit
from polycall.faces.wire import NULL, Malformed, decode, dump, present, raw_members
from polycall.quick import dataclass

__all__ = ["Ask", "bind", "read_ask", "read_flat"]

# Conventions whose input schema is an object with a property for each parameter of the code.
_FALSE = msgspec.Raw(b"false")
_BY_NAME = (Convention.KEYWORDS, Convention.PARAMETERS)
_INPUTS, _SETTINGS, _GET_LOGS = "inputVariables", "settings", "getLogs"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to run a function; inputs are JSON text, untouched."""

    inputs: Mapping[str, msgspec.Raw]
    get_logs: bool = False


def read_ask(body: bytes) -> Ask:
    """Read a body; none at all is ``{}``, unknown members are ignored. Raises Malformed."""
    members = raw_members(body) if body.strip() else {}
    settings = _object(members, _SETTINGS)
    get_logs = present(settings.get(_GET_LOGS)) or b"false"
    if get_logs not in (b"true", b"false"):
        raise Malformed.of(f"{_SETTINGS}.{_GET_LOGS}", f"expected boolean but got {describe(get_logs)}")
    return Ask(_object(members, _INPUTS), get_logs == b"true")


def read_flat(body: bytes) -> Ask:
    """Read a body that is the inputs themselves, as apps send it. Raises Malformed."""
    return Ask(raw_members(body) if body.strip() else {})


def bind(function: Function, inputs: Mapping[str, msgspec.Raw], *, by_name: bool = False) -> tuple[Convention, bytes]:
    """Return the convention of a run and its input: every declared parameter with its value, in declared order.

    A function that declares none takes what it gets, by keyword, as far as its signature has a name for it.
    ``by_name``: what is declared are the code's own names, and what may be missing is left to its own defaults. Raises
    InvalidArgument naming every input that is missing or does not fit.
    """
    if not function.parameters:
        names = _signature(function)
        return Convention.KEYWORDS, dump({n: raw for n, raw in inputs.items() if names is None or n in names})
    values: dict[str, msgspec.Raw] = {}
    wrong: list[FieldViolation] = []
    for parameter in function.parameters:
        path = f"{_INPUTS}.{parameter.name}"
        left_out = parameter.name not in inputs and parameter.default is None and parameter.declared.nullable
        if by_name and left_out:
            continue
        try:
            values[parameter.name] = _value(parameter, inputs, path)
        except Mismatch as mismatch:
            wrong.append(FieldViolation(mismatch.path, str(mismatch)))
    if wrong:
        raise InvalidArgument(wrong)
    return Convention.KEYWORDS if by_name else Convention.PARAMETERS, dump(values)


def _value(parameter: Parameter, inputs: Mapping[str, msgspec.Raw], path: str) -> msgspec.Raw:
    declared = parameter.declared
    raw = inputs.get(parameter.name)
    if raw is not None:
        return msgspec.Raw(fit(bytes(raw), declared, path))
    if parameter.default is not None:
        return msgspec.Raw(parameter.default)
    if declared.nullable:
        return NULL
    raise Mismatch(path, declared, None)


def _signature(function: Function) -> frozenset[str] | None:
    """Return the names that the code's own signature takes; None if it takes any, or nobody knows."""
    if function.accepts_any or function.input_schema is None or function.convention not in _BY_NAME:
        return None
    schema = decode(function.input_schema, dict[str, msgspec.Raw])
    if "properties" not in schema or schema.get("additionalProperties", _FALSE) != _FALSE:
        return None
    return frozenset(raw_members(schema["properties"]))


def _object(members: Mapping[str, msgspec.Raw], name: str) -> Mapping[str, msgspec.Raw]:
    raw = present(members.get(name)) or b"{}"
    if not raw.startswith(b"{"):
        raise Malformed.of(name, f"expected object but got {describe(raw)}")
    return raw_members(raw)
