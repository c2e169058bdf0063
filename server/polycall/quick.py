"""Dataclasses that cost a start next to nothing.

The standard library compiles six functions for every dataclass when its module is imported: half a millisecond for each
of 260 classes, most of which no start ever makes. Here each function is compiled when it is first called. What every
call makes is a ``polycall.structs.cstruct``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from functools import partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

__all__ = ["comparison", "dataclass", "shown"]

T = TypeVar("T")


def _dataclass(
    cls: type[T] | None = None,
    /,
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
    eq: bool = True,
) -> Any:
    """Do what ``dataclasses.dataclass`` does. Raises TypeError for a field that is not given to the constructor."""
    if cls is None:
        return lambda cls: _dataclass(cls, frozen=frozen, slots=slots, kw_only=kw_only, eq=eq)
    cls.__doc__ = cls.__doc__ or cls.__name__  # else one is made of the constructor's signature
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    own = fields(made)
    if not all(field.init and field.hash is None for field in own):
        raise TypeError(f"{made.__name__} has a field that is not given to its constructor, or has a hash of its own")
    methods: dict[str, Any] = {"__init__": _late(made, "__init__", partial(_init, made, frozen)), "__repr__": shown}
    if eq:
        methods |= comparison(made, frozen=frozen)
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
    if frozen and slots:
        methods |= {"__getstate__": _state, "__setstate__": _set_state}
    written = made.__dict__
    for name, method in methods.items():
        # a class that says what is equal has None as its hash by the language, and wrote none
        if name not in written or (name == "__hash__" and written[name] is None):
            setattr(made, name, method)
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


def comparison(cls: type, *, frozen: bool) -> dict[str, Any]:
    """Return ``__eq__`` and ``__hash__`` of a dataclass: of the fields that are compared."""
    return {
        "__eq__": _late(cls, "__eq__", partial(_eq, cls)),
        "__hash__": _late(cls, "__hash__", partial(_hash, cls)) if frozen else None,
    }


def _late(cls: type, name: str, compiled: Callable[[], Any]) -> Callable[..., Any]:
    """Return a method that compiles the real one, which is the class's from then on."""

    def first(self: Any, /, *arguments: Any, **keywords: Any) -> Any:
        method = compiled()
        setattr(cls, name, method)
        return method(self, *arguments, **keywords)

    return first


def _init(cls: Any, frozen: bool) -> Any:
    own = fields(cls)
    # underscores, as no field has them: a parameter hides what is outside
    names: dict[str, Any] = {"_MISSING": MISSING, "_set": object.__setattr__}
    parameters, keywords, lines = ["self"], list[str](), list[str]()
    for field in own:
        name = value = field.name
        (keywords if field.kw_only else parameters).append(_parameter(field, names))
        if field.default_factory is not MISSING:
            value = f"_default_{name}() if {name} is _MISSING else {name}"
        lines.append(f"self.{name} = {value}" if not frozen else f"_set(self, '{name}', {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    signature = ", ".join([*parameters, *(["*", *keywords] if keywords else [])])
    return _compiled(cls, f"__init__({signature})", lines or ["pass"], names)


def _parameter(field: Field[Any], names: dict[str, Any]) -> str:
    default = f"_default_{field.name}"
    if field.default is not MISSING:
        names[default] = field.default
        return f"{field.name}={default}"
    if field.default_factory is not MISSING:
        names[default] = field.default_factory
        return f"{field.name}=_MISSING"
    return field.name


def _eq(cls: Any) -> Any:
    line = (
        f"return {_values(cls, 'self')} == {_values(cls, 'other')} if other.__class__ is self.__class__ else _unknown"
    )
    return _compiled(cls, "__eq__(self, other)", [line], {"_unknown": NotImplemented})


def _hash(cls: Any) -> Any:
    return _compiled(cls, "__hash__(self)", [f"return hash({_values(cls, 'self')})"], {})


def _values(cls: Any, owner: str) -> str:
    return "(" + "".join(f"{owner}.{field.name}, " for field in fields(cls) if field.compare) + ")"


def _compiled(cls: Any, head: str, lines: list[str], names: dict[str, Any]) -> Any:
    source = f"def {head}:\n" + "".join(f"    {line}\n" for line in lines)
    made: dict[str, Any] = {}
    exec(source, names, made)  # noqa: S102  as dataclasses does: names of fields, nothing from outside
    (function,) = made.values()
    function.__qualname__ = f"{cls.__qualname__}.{function.__name__}"
    return function


@recursive_repr()
def shown(self: Any) -> str:
    """Show an instance with the fields that are to be shown."""
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse(self: object, name: str, value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
