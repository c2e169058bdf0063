"""Scripts and their functions: how they are named, and how long ``@DFF.API`` lets them run."""

from __future__ import annotations

import io
import re
import tokenize
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from polycall.domain import Function, Version
from polycall.engine.limits import KIB
from polycall.engine.registry import Registry
from polycall.faces.aside import aside
from polycall.faces.guance.published import published_of
from polycall.quick import dataclass

__all__ = ["FuncName", "TimeLimits", "Timing", "read_timing"]

_SCRIPT_ID = re.compile(r"([A-Za-z_][A-Za-z0-9_]*?)__([A-Za-z0-9_]+)", re.ASCII)
_LONGEST_SET, _LONGEST_SCRIPT_ID = 64, 128
_LONGEST_READ = 256 * KIB  # takes 0.4 s at worst, once a version; a longer script gets the default time limits
_MOST_TOKENS = 1000  # of a decorator
_OPENING, _CLOSING = "([{", ")]}"
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
        if len(script_id) > _LONGEST_SCRIPT_ID:
            return None  # before it is matched, which takes time by the square of its length
        match = _SCRIPT_ID.fullmatch(script_id)
        if match is None or len(match[1]) > _LONGEST_SET:
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
        published = published_of(version)
        if published is not None:
            func = published.func(function.name)
            return (
                Timing()
                if func is None
                else Timing(func.seconds("timeout", _TIMEOUT_S), func.seconds("apiTimeout", _API_TIMEOUT_S))
            )
        key = (version.bundle, module)
        timing = self._known.get(key)
        if timing is None:
            bundle = await self._registry.bundle(version)
            path = module.replace(".", "/")
            source = bundle.files.get(f"{path}.py") or bundle.files.get(f"{path}/__init__.py") or b""
            timing = self._known[key] = await aside(len(source), read_timing, source)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return timing.get(name, Timing())


def read_timing(source: bytes) -> Mapping[str, Timing]:
    """Return the limits of every top-level function that sets some.

    Its tokens are read, not its grammar: it is a hostile text, and parsing one may take minutes and gigabytes.
    """
    if b"timeout" not in source or len(source) > _LONGEST_READ:
        return {}
    tokens = tokenize.generate_tokens(io.StringIO(source.decode(errors="replace")).readline)
    found = {}
    with suppress(tokenize.TokenError, SyntaxError, ValueError, IndexError):  # the run will say so
        asked: Timing | None = None
        for line in _top_level(tokens):
            if line[:5] == ["@", "DFF", ".", "API", "("]:
                asked = _timing(line[5:])
            elif line[0] in ("def", "async"):
                if asked is not None:
                    found[line[1 + line.index("def")]] = asked
                asked = None
            elif line[0] != "@":
                asked = None
    return found


def _top_level(tokens: Iterable[tokenize.TokenInfo]) -> Iterator[list[str]]:
    """Yield the texts of every logical line that is not indented, as far as a decorator may reach."""
    depth = 0
    line: list[str] = []
    for token in tokens:
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.NEWLINE:
            if line:
                yield line
            line = []
        elif depth == 0 and token.type not in (tokenize.NL, tokenize.COMMENT) and len(line) < _MOST_TOKENS:
            line.append(token.string)


def _timing(arguments: Sequence[str]) -> Timing:
    numbers: dict[str, int] = {}
    depth = 1
    for index, text in enumerate(arguments):
        depth += (text in _OPENING) - (text in _CLOSING)
        named = depth == 1 and arguments[index + 1 : index + 2] == ["="]
        if named and arguments[index + 3 : index + 4] in ([","], [")"]):
            with suppress(ValueError):  # no literal
                numbers[text] = int(arguments[index + 2], base=0)
    return Timing(
        timeout_s=_within(numbers.get("timeout"), _LONGEST_TIMEOUT_S, _TIMEOUT_S),
        api_timeout_s=_within(numbers.get("api_timeout"), _LONGEST_API_TIMEOUT_S, _API_TIMEOUT_S),
    )


def _within(value: int | None, most: int, default: int) -> int:
    return value if value is not None and 1 <= value <= most else default  # out of range: the script will not load
