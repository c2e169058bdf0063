"""Dataclasses that are made and copied in C: for what every call makes.

An execution has 41 fields, and a warm call made two, beside a job of 24 and a dozen smaller values: a seventh of its
bytecodes set fields. A ``msgspec.Struct`` does that in one call of C. To whoever reads one it is a dataclass still:
``fields``, ``replace`` and ``asdict`` of the standard library take it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, Field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace as _replace

from polycall.quick import comparison, shown

__all__ = ["changed", "cstruct"]

T = TypeVar("T")

# what a class has by being one, which the one made of it gets for itself
_OWN = ("__dict__", "__weakref__", "__annotations__", "__dataclass_fields__", "__dataclass_params__", "__match_args__")


def _cstruct(*, frozen: bool = False, slots: bool = True, kw_only: bool = False, eq: bool = True) -> Any:
    """Do what ``dataclasses.dataclass`` does with slots, in C.

    Raises TypeError for a class that has bases or looks at itself when it is made: these are no plain values.
    """

    def made(cls: type) -> type:
        if cls.__bases__ != (object,) or hasattr(cls, "__post_init__") or not slots:
            raise TypeError(f"{cls.__name__} is more than its fields: use polycall.quick")
        cls.__doc__ = cls.__doc__ or cls.__name__  # else one is made of the constructor's signature
        plain: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        own = dataclasses.fields(plain)
        namespace = {
            name: value
            for name, value in cls.__dict__.items()
            if name not in _OWN and name not in {f.name for f in own}
        }
        # msgspec shows and compares all fields
        if not all(field.repr for field in own):
            namespace.setdefault("__repr__", shown)
        kind: Any = msgspec.defstruct(
            cls.__name__,
            [_field(field) for field in own],
            module=cls.__module__,
            namespace=namespace,
            frozen=frozen,
            eq=eq,
            kw_only=kw_only,
        )
        kind.__dataclass_fields__ = plain.__dataclass_fields__
        kind.__dataclass_params__ = plain.__dataclass_params__
        if eq and not all(field.compare for field in own):
            for name, method in comparison(kind, frozen=frozen).items():
                setattr(kind, name, method)
        return kind  # type: ignore[no-any-return]

    return made


if TYPE_CHECKING:
    from dataclasses import dataclass as cstruct
else:
    cstruct = _cstruct


def _field(field: Field[Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    # what its type is nobody asks: values are checked where they come from
    if field.default is not MISSING:
        return field.name, Any, field.default
    if field.default_factory is not MISSING:
        return field.name, Any, msgspec.field(default_factory=field.default_factory)
    return field.name, Any


def changed(value: T, **changes: Any) -> T:
    """Return a copy with other values in some fields: what ``dataclasses.replace`` does with every field by its name.

    Raises TypeError for a field that there is not.
    """
    copy: T = _replace(value, **changes)  # type: ignore[type-var]
    return copy
