"""Whether what is here is what would be created: field by field, of those that an import sets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import Function, Package, Version
    from polycall.v1.schedule_pb2 import Schedule

__all__ = ["package_differences", "schedule_differences", "version_differences"]

_PACKAGE = ("display_name", "description", "labels", "alias", "face_data_json")
_VERSION = ("language", "runtime", "env", "limits", "fresh_process", "egress", "source_digest", "face_data_json")
_SCHEDULE = ("function", "cron", "timezone", "display_name", "description")
_FUNCTION = ("entrypoint", "convention", "parameters", "output", "display_name", "description", "private")


def package_differences(here: Package, wanted: Package) -> list[str]:
    """Return the fields that differ, as an update mask names them."""
    return [field for field in _PACKAGE if not _same(here, wanted, field)]


def version_differences(here: Version, wanted: Version) -> list[str]:
    """Return what differs, in words; what the server finds out for itself counts only if the import sets it."""
    found = [field for field in _VERSION if not _same(here, wanted, field)]
    if wanted.functions and [_shape(f, w) for f, w in _pairs(here, wanted)] != [_shape(w, w) for w in wanted.functions]:
        found.append("functions")
    return found


def schedule_differences(here: Schedule, wanted: Schedule) -> list[str]:
    """Return the fields that differ, as an update mask names them. Who paused or resumed it has decided."""
    differences = [field for field in _SCHEDULE if not _same(here, wanted, field)]
    return differences if _input(here) == _input(wanted) else [*differences, "input_json"]


def _input(schedule: Schedule) -> Any:
    return _json(schedule.input_json) or None  # a contract may show no input as an empty one


def _pairs(here: Version, wanted: Version) -> list[tuple[Function, Function]]:
    by_name = {function.name: function for function in here.functions}
    if list(by_name) != [function.name for function in wanted.functions]:
        return []
    return [(by_name[function.name], function) for function in wanted.functions]


def _shape(function: Function, wanted: Function) -> list[Any]:
    """Return the parts of a function that ``wanted`` has."""
    parts: list[Any] = [getattr(function, field) for field in _FUNCTION if _is_set(wanted, field)]
    if wanted.input_schema_json:
        parts.append(_json(function.input_schema_json))
    return parts


def _is_set(message: Any, field: str) -> bool:
    return any(descriptor.name == field for descriptor, _ in message.ListFields())


def _same(here: Any, wanted: Any, field: str) -> bool:
    a, b = getattr(here, field), getattr(wanted, field)
    if field.endswith("_json"):
        return bool(_json(a) == _json(b))
    return bool(a == b)


def _json(text: str) -> Any:
    # numbers by their text: 1 and 1.0 are not the same to everybody
    return json.loads(text, parse_float=str, parse_int=str) if text else None
