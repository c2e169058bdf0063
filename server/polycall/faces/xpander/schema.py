"""Input schemas, and what of JSON Schema is checked: what signatures turn into.

``type``, ``properties``, ``required``, ``items``, ``additionalProperties``, ``anyOf`` (and ``oneOf``, read the same
way), ``enum`` and ``const``. What else a schema says is not looked at.
"""

from __future__ import annotations

from typing import Any

import msgspec

from polycall.errors import FailedPrecondition

__all__ = ["Schema", "read_schema"]


class Schema(msgspec.Struct, rename="camel"):
    """One schema; ``True`` in place of one stands for any value."""

    type: str | list[str] | None = None
    properties: dict[str, Schema | bool] = {}
    required: list[str] = []
    additional_properties: Schema | bool = False
    items: Schema | bool = True
    any_of: list[Schema | bool] = []
    one_of: list[Schema | bool] = []
    enum: list[Any] | None = None
    const: Any = msgspec.UNSET

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


def read_schema(text: bytes) -> Schema:
    """Read the schema of a function's input. Raises FailedPrecondition if it is not one of an object."""
    try:
        return msgspec.json.decode(text, type=Schema)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedPrecondition(f"The input_schema of this function cannot be read: {error}.") from None
