"""What a schema can say of one value: its type, its bounds, its length, its expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, DecimalException
from functools import lru_cache

from polycall.engine.schemas.reading import Json, Unusable

__all__ = [
    "SHOWN_CHARS",
    "TYPES",
    "compiled",
    "named",
    "number_problems",
    "shown",
    "size_problems",
    "text_problems",
]

SHOWN_CHARS = 100  # of a name or a value in a message
# For division: a float has 309 digits at most.
_EXACT = Context(prec=800)


def number_problems(schema: Mapping[str, Json], value: Decimal) -> Iterator[str]:
    """Yield what is wrong with a number."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is True:  # draft 4: a flag beside the bound
        low, above = None, low
    if below is True:
        high, below = None, high
    if low is not None and value < low:
        yield f"must be {low} or more"
    if isinstance(above, Decimal) and value <= above:
        yield f"must be more than {above}"
    if high is not None and value > high:
        yield f"must be {high} or less"
    if isinstance(below, Decimal) and value >= below:
        yield f"must be less than {below}"
    if "multipleOf" in schema and not _is_multiple(value, schema["multipleOf"]):
        yield f"must be a multiple of {schema['multipleOf']}"


def _is_multiple(value: Decimal, step: Decimal) -> bool:
    try:
        return _EXACT.remainder(value, step) == 0
    except DecimalException:  # a quotient of more digits than that
        return False


def text_problems(schema: Mapping[str, Json], value: str) -> Iterator[str]:
    """Yield what is wrong with a text."""
    yield from size_problems(schema, len(value), "Length", "character")
    if "pattern" in schema and not compiled(schema["pattern"]).search(value):
        yield f"must match {schema['pattern'][:SHOWN_CHARS]}"


def size_problems(schema: Mapping[str, Json], size: int, what: str, part: str) -> Iterator[str]:
    """Yield what is wrong with a length: ``what`` is Length, Items or Properties, ``part`` one of it."""
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if least is not None and size < least:
        yield f"must have at least {least} {part}{'' if least == 1 else 's'}"
    if most is not None and size > most:
        yield f"must have at most {most} {part}{'' if most == 1 else 's'}"


@lru_cache(maxsize=1000)
def compiled(expression: str) -> re.Pattern[str]:
    """Return an expression as ECMA 262 reads it, as far as Python can. Raises Unusable.

    Only where it harms nobody: neither how long it takes to compile nor to match is bounded.
    """
    try:
        return re.compile(_translated(expression), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unusable(f"{expression[:100]!r} is not an expression that can be used: {error}") from None


def _translated(expression: str) -> str:
    """Write ``$`` as what it means there: the end, and not also before a line feed at the end."""
    parts: list[str] = []
    in_class = False
    for part in re.findall(r"\\.|.", expression, re.DOTALL):
        if part in ("[", "]"):
            in_class = part == "["
        parts.append(r"\Z" if part == "$" and not in_class else part)
    return "".join(parts)


def _is_integer(value: Json) -> bool:
    return isinstance(value, Decimal) and value == value.to_integral_value()


TYPES: Mapping[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "number": lambda value: isinstance(value, Decimal),
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
}
_NAMES = {"null": "null", "object": "an object", "array": "an array", "integer": "an integer"}


def named(types: list[str]) -> str:
    """Return types in words."""
    return " or ".join(_NAMES.get(kind, f"a {kind}") for kind in types)


def shown(value: Json) -> str:
    """Return a value as a message shows it."""
    text = (
        {None: "null", True: "true", False: "false"}.get(value, "") if value is None or isinstance(value, bool) else ""
    )
    text = text or (f'"{value}"' if isinstance(value, str) else str(value) if isinstance(value, Decimal) else "a value")
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
