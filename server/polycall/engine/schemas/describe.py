"""What runs in a sandbox where a schema has expressions."""

from __future__ import annotations

from polycall.engine.schemas.check import Check
from polycall.engine.schemas.keywords import expressions_of
from polycall.engine.schemas.reading import Unusable, printable, read
from polycall.engine.schemas.values import compiled

__all__ = ["look"]


def look(schema: str, value: str | None, steps: int) -> dict[str, str | None]:
    """Check a value, or without one the expressions of a schema, all given as JSON.

    Returns ``problem``: what is wrong with the value, ``unusable``: why it cannot be checked.
    """
    try:
        read_schema = read(schema)
        if value is not None:
            return {"problem": Check(read_schema, steps).problem(read(value)), "unusable": None}
        for expression in expressions_of(read_schema):
            compiled(expression)
    except Unusable as error:
        return {"problem": None, "unusable": printable(str(error))}
    return {"problem": None, "unusable": None}
