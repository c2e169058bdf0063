"""How many things one request may hold, whatever its size in bytes.

What a request is made of is looked at one by one, on the event loop that serves everybody: five million enum values,
ten bytes of wire format each, take ten seconds and a gigabyte of complaints. Nobody has that many files or labels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import aclosing
from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from polycall.errors import InvalidArgument
from polycall.interceptors.rpc import Rpc, Stream, Unary

__all__ = ["MOST_ITEMS", "Counts"]

# Twice as many as a version may have files; each of them takes some 10 µs.
MOST_ITEMS = 20_000


class Counts:
    """Refuses requests whose lists and maps, at all depths, have more than ``most`` items. Raises InvalidArgument."""

    def __init__(self, most: int = MOST_ITEMS) -> None:
        self._most = most

    def unary(self, inner: Unary) -> Unary:
        """Count, then call."""

        def counted(request: Message, rpc: Rpc) -> Awaitable[Message]:
            if _holders(request.DESCRIPTOR):  # most requests have no lists
                self._check(request)
            return inner(request, rpc)

        return counted

    def stream(self, inner: Stream) -> Stream:
        """Count, then stream."""

        async def counted(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            self._check(request)
            async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer

        return counted

    def _check(self, request: Message) -> None:
        left = self._most
        for path, count in _lists(request, ""):
            left -= count
            if left < 0:
                rule = f"takes the lists of this request beyond {self._most} items together"
                raise InvalidArgument.of(path, rule)


def _lists(message: Message, path: str) -> Iterator[tuple[str, int]]:
    """Yield every list and map with its length, outer ones before those within them."""
    for name, repeated, deeper in _holders(message.DESCRIPTOR):
        if repeated:
            items = getattr(message, name)
            yield path + name, len(items)
            if deeper:
                for index, item in enumerate(items):
                    yield from _lists(item, f"{path}{name}[{index}].")
        elif message.HasField(name):
            yield from _lists(getattr(message, name), f"{path}{name}.")


@cache
def _holders(descriptor: Descriptor) -> tuple[tuple[str, bool, bool], ...]:
    """Return the fields that are lists or have lists within: name, whether it is a list, whether its items have some.

    Values of maps have none in our contracts, so maps are not looked into.
    """
    found = []
    for field in descriptor.fields:
        inner = field.message_type
        mapped = inner is not None and inner.GetOptions().map_entry
        deeper = inner is not None and not mapped and _has_lists(inner, frozenset())
        if field.is_repeated or deeper:
            found.append((field.name, bool(field.is_repeated), deeper))
    return tuple(found)


def _has_lists(descriptor: Descriptor, seen: frozenset[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    below = seen | {descriptor.full_name}
    return any(
        field.is_repeated or (field.message_type is not None and _has_lists(field.message_type, below))
        for field in descriptor.fields
    )
