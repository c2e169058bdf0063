"""Input schemas, and what of JSON Schema is checked: what signatures turn into, and what pydantic writes.

``type``, ``properties``, ``required``, ``additionalProperties``, ``propertyNames``, ``items``, ``prefixItems``,
``anyOf`` (and ``oneOf``, read the same way), ``allOf``, ``enum``, ``const``, ``$ref`` into ``$defs``, bounds of numbers
and lengths. ``format`` and ``pattern`` are for people: expressions of strangers are not run here (docs/analysis.md).
What else a schema says is not looked at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from polycall.errors import FailedPrecondition

__all__ = ["Schema", "read_schema"]

_DEFS = "#/$defs/"
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_BOUNDS = (
    *("minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "multiple_of"),
    *("min_length", "max_length", "min_items", "max_items", "min_properties", "max_properties"),
)
# Reading a schema takes longer than checking most inputs; of those that are read again and again, 8 MiB are kept.
_MOST_KEPT, _KEPT_BYTES = 512, 16 << 10


class Schema(msgspec.Struct, rename="camel"):
    """One schema; ``True`` in place of one stands for any value."""

    type: str | list[str] | None = None
    properties: dict[str, Schema | bool] = {}
    required: list[str] = []
    additional_properties: Schema | bool | None = None
    property_names: Schema | bool = True
    items: Schema | bool = True
    prefix_items: list[Schema | bool] = []
    any_of: list[Schema | bool] = []
    one_of: list[Schema | bool] = []
    all_of: list[Schema | bool] = []
    enum: list[Any] | None = None
    const: Any = msgspec.UNSET
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = None
    exclusive_maximum: int | float | None = None
    multiple_of: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    ref: str | None = msgspec.field(default=None, name="$ref")
    defs: dict[str, Schema | bool] = msgspec.field(default_factory=dict, name="$defs")
    composed: bool = False  # computed: it takes more than a look at its type
    bounded: bool = False  # computed: and at its value

    def __post_init__(self) -> None:
        if isinstance(self.type, list):  # a branch for each is made wherever a value is checked
            other = next((kind for kind in self.type if kind not in _TYPES), None)  # what is none takes any value
            self.type = [kind for kind in dict.fromkeys(self.type) if kind in _TYPES or kind == other]
        several = isinstance(self.type, list) or self.any_of or self.one_of or self.all_of
        self.composed = bool(several or self.ref is not None or self.literals is not None)
        self.bounded = any(getattr(self, name) is not None for name in _BOUNDS)

    @property
    def branches(self) -> list[Schema | bool]:
        """The schemas of which one must fit; empty if this is no union."""
        if isinstance(self.type, list):
            return [msgspec.structs.replace(self, type=kind) for kind in self.type]
        return self.any_of or self.one_of

    @property
    def literals(self) -> list[Any] | None:
        """The values that are allowed; None if any are."""
        if self.const is not msgspec.UNSET:
            return [self.const]
        return self.enum

    @property
    def target(self) -> str | None:
        """The name of the definition that this refers to."""
        return self.ref.removeprefix(_DEFS) if self.ref is not None else None


def read_schema(text: bytes) -> Schema:
    """Read the schema of a function's input. Raises FailedPrecondition if it is not one of an object."""
    return _kept(text) if len(text) <= _KEPT_BYTES else _read(text)


@lru_cache(_MOST_KEPT)
def _kept(text: bytes) -> Schema:
    return _read(text)


def _read(text: bytes) -> Schema:
    try:
        return msgspec.json.decode(text, type=Schema)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedPrecondition(f"The input_schema of this function cannot be read: {error}.") from None
