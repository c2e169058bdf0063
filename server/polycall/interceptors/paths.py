"""A request that came as HTTP is about what its path names.

Envoy writes the path's variables into the message, and then lets two others have their way over them (seen with 1.40,
which has no option against it): a query parameter of that name, however encoded, and a body that says the field twice,
first as the path does. The gateway would choose a server and write its log by one name, and another would be run.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import cache
from operator import attrgetter
from urllib.parse import unquote_to_bytes

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from polycall.errors import FieldViolation, InvalidArgument
from polycall.interceptors.rpc import Rpc, Stream, Unary
from polycall.quick import dataclass

__all__ = ["Paths"]

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:=[^{}]+)?\}")


class Paths:
    """Refuses requests that name something else than their path does. Raises InvalidArgument."""

    def unary(self, inner: Unary) -> Unary:
        """Compare, then call."""

        def compared(request: Message, rpc: Rpc) -> Awaitable[Message]:
            if rpc.path is not None:
                _check(request, rpc.method, rpc.path)
            return inner(request, rpc)

        return compared

    def stream(self, inner: Stream) -> Stream:
        """Compare, then stream."""

        async def compared(request: Message, rpc: Rpc) -> AsyncIterator[Message]:
            if rpc.path is not None:
                _check(request, rpc.method, rpc.path)
            async with aclosing(inner(request, rpc)) as answers:  # type: ignore[type-var]
                async for answer in answers:
                    yield answer

        return compared


@dataclass(frozen=True, slots=True)
class _Template:
    """A path of a method: ``literals`` around the values of ``variables``, which are fields of the request."""

    literals: tuple[str, ...]
    variables: tuple[str, ...]
    values: tuple[Callable[[Message], str], ...]

    def of(self, request: Message) -> bytes:
        """Return the path, decoded, by which a request comes that names what ``request`` does."""
        first, *others = self.literals
        pairs = zip(self.values, others, strict=True)
        return (first + "".join(value(request) + literal for value, literal in pairs)).encode()


def _check(request: Message, method: str, path: str) -> None:
    if isinstance(request, Empty):
        return  # stands for what was not read, and is refused for that
    templates = _templates(method)
    asked = unquote_to_bytes(path.partition("?")[0])
    if not any(template.of(request) == asked for template in templates):
        variables = dict.fromkeys(variable for template in templates for variable in template.variables)
        rule = "must be what the path names: leave it out of the query, and out of the body"
        raise InvalidArgument([FieldViolation(variable, rule) for variable in variables or ("",)])


@cache
def _templates(method: str) -> tuple[_Template, ...]:
    found = descriptor_pool.Default().FindMethodByName(method.strip("/").replace("/", "."))
    rule = found.GetOptions().Extensions[annotations_pb2.http]
    paths = [getattr(one, verb) for one in (rule, *rule.additional_bindings) if (verb := one.WhichOneof("pattern"))]
    return tuple(_template(path) for path in paths)


def _template(path: str) -> _Template:
    parts = _VARIABLE.split(path)
    variables = tuple(parts[1::2])
    return _Template(tuple(parts[::2]), variables, tuple(map(attrgetter, variables)))
