"""What a published version says of its functions: what ``DFF.API`` was told, as the vendor's lists show it."""

from __future__ import annotations

from typing import Any

import msgspec

from polycall.domain import Function, Version

__all__ = ["Func", "Published", "funcs_of", "published_of"]


class Func(msgspec.Struct, kw_only=True):
    """One function, in the vendor's words."""

    name: str
    title: str | None = None
    description: str | None = None
    definition: str = ""
    category: str | None = "general"
    integration: str | None = None
    tags: list[str] | None = msgspec.field(default=None, name="tagsJSON")
    args: list[str] = msgspec.field(default_factory=list, name="argsJSON")
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict, name="kwargsJSON")
    extra: dict[str, Any] | None = msgspec.field(default=None, name="extraConfigJSON")

    def seconds(self, name: str, default: int) -> int:
        """Return a number of seconds of its options."""
        found = (self.extra or {}).get(name)
        return found if isinstance(found, int) else default


class Published(msgspec.Struct, kw_only=True):
    """What is kept with a version that was published: in ``Version.face_data``."""

    code_md5: str
    note: str | None = None
    funcs: list[Func] = []

    def func(self, name: str) -> Func | None:
        """Return a function of that name."""
        return next((func for func in self.funcs if func.name == name), None)


def funcs_of(version: Version) -> list[Func]:
    """Return the functions of a version; of one that was not published here, what is known of those it was given."""
    published = published_of(version)
    if published is not None:
        return published.funcs
    return [_given(function) for function in version.functions if not function.private]


def _given(function: Function) -> Func:
    schema = msgspec.json.decode(function.input_schema or b"{}", type=dict[str, Any])
    properties = schema.get("properties")
    kwargs = {
        name: {"default": each["default"]} if isinstance(each, dict) and "default" in each else {}
        for name, each in (properties if isinstance(properties, dict) else {}).items()
    }
    arguments = ", ".join(f"{name}={each['default']!r}" if "default" in each else name for name, each in kwargs.items())
    return Func(
        name=function.name,
        title=function.display_name or None,
        description=function.description or None,
        definition=f"{function.name}({arguments})",
        args=list(kwargs),
        kwargs=kwargs,
    )


def published_of(version: Version) -> Published | None:
    """Return what a version says; None for one that was not published here, but deployed."""
    if version.face_data is None or version.adapter != "guance":
        return None
    try:
        return msgspec.json.decode(version.face_data, type=Published)
    except msgspec.DecodeError:
        return None
