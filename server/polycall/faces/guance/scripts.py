"""Scripts and their functions: how they are named, and how long ``@DFF.API`` lets them run."""

from __future__ import annotations

import ast
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from polycall.domain import Function, Version
from polycall.engine.limits import KIB
from polycall.engine.registry import Registry

__all__ = ["FuncName", "TimeLimits", "Timing", "read_timing"]

_SCRIPT_ID = re.compile(r"([A-Za-z_][A-Za-z0-9_]*?)__([A-Za-z0-9_]+)", re.ASCII)
_LONGEST_SET, _LONGEST_SCRIPT_ID = 64, 128
_LONGEST_PARSED = 256 * KIB  # beyond it parsing would hold the server up; such a script gets the default time limits
_KEPT = 1000  # versions whose limits are remembered
_TIMEOUT_S, _LONGEST_TIMEOUT_S = 30, 3600  # of DFF.API(timeout=)
_API_TIMEOUT_S, _LONGEST_API_TIMEOUT_S = 10, 180  # of DFF.API(api_timeout=)


@dataclass(frozen=True, slots=True)
class FuncName:
    """``<scriptSet>__<script>.<function>``, in its two parts."""

    script_id: str
    function: str

    @classmethod
    def parse(cls, func_id: str) -> FuncName | None:
        """Read a function id; None for any spelling that no function can have."""
        script_id, _, function = func_id.partition(".")
        match = _SCRIPT_ID.fullmatch(script_id)
        if match is None or len(script_id) > _LONGEST_SCRIPT_ID or len(match[1]) > _LONGEST_SET:
            return None
        return cls(script_id, function) if function.isidentifier() else None


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a function may run (``timeout``), and that a synchronous caller waits (``api_timeout``)."""

    timeout_s: int = _TIMEOUT_S
    api_timeout_s: int = _API_TIMEOUT_S

    def synchronous_s(self, asked_s: int | None) -> int:
        """Return the limit of a synchronous call; ``asked_s`` is the request's ``apiTimeout``."""
        return min(self.timeout_s, self.api_timeout_s if asked_s is None else asked_s)


class TimeLimits:
    """Reads the time limits of functions from their source, once a version.

    They have to be known before a run begins: it is killed from outside. So only literals in ``@DFF.API(...)`` count.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: OrderedDict[tuple[str, str], Mapping[str, Timing]] = OrderedDict()

    async def of(self, version: Version, function: Function) -> Timing:
        """Return the limits of a function of a version."""
        module, _, name = function.entrypoint.partition(":")
        key = (version.bundle, module)
        timing = self._known.get(key)
        if timing is None:
            bundle = await self._registry.bundle(version)
            path = module.replace(".", "/")
            source = bundle.files.get(f"{path}.py") or bundle.files.get(f"{path}/__init__.py") or b""
            timing = self._known[key] = read_timing(source)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return timing.get(name, Timing())


def read_timing(source: bytes) -> Mapping[str, Timing]:
    """Return the limits of every top-level function that sets some."""
    if b"timeout" not in source or len(source) > _LONGEST_PARSED:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the script's author, not ours
            module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}  # the run will say so
    found = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "DFF.API":
                    found[node.name] = _timing(decorator)
    return found


def _timing(call: ast.Call) -> Timing:
    literals = {
        keyword.arg: keyword.value.value
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant) and type(keyword.value.value) is int
    }
    return Timing(
        timeout_s=_within(literals.get("timeout"), _LONGEST_TIMEOUT_S, _TIMEOUT_S),
        api_timeout_s=_within(literals.get("api_timeout"), _LONGEST_API_TIMEOUT_S, _API_TIMEOUT_S),
    )


def _within(value: object, most: int, default: int) -> int:
    return value if isinstance(value, int) and 1 <= value <= most else default  # out of range: the script will not load
