"""Every route of the native contract and of the faces, as the committed descriptors have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from polycall_gateway.descriptors import DESCRIPTORS, NATIVE

__all__ = ["Route", "methods", "routes", "rpcs_without_routes"]

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:=([^{}]+))?\}")
_OURS = re.compile(r"polycall\.(?:v1|faces\.([a-z]+)\.v1)")


@dataclass(frozen=True)
class Route:
    """One HTTP method and path of one RPC.

    ``path`` has its variables in braces. What ``{name=packages/*/versions/*}`` captures is two of them, called after
    their collections: ``packages/{packages}/versions/{versions}``.
    """

    face: str
    rpc: str
    verb: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.face}.{self.rpc}"

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    def filled(self, values: Mapping[str, str]) -> str:
        """Return a path with these values."""
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], self.path)


def routes() -> tuple[Route, ...]:
    """Return all of them."""
    found = []
    for face, _, method in methods():
        rule = method.options.Extensions[annotations_pb2.http]
        for one in (rule, *rule.additional_bindings):
            if (verb := one.WhichOneof("pattern")) is not None:
                path = _VARIABLE.sub(lambda match: _spelled(match[1], match[2]), getattr(one, verb))
                found.append(Route(face, method.name, verb.upper(), path))
    return tuple(found)


def rpcs_without_routes() -> tuple[str, ...]:
    """Return the full methods that gRPC alone reaches: ``/polycall.v1.Service/Method``."""
    return tuple(
        f"/{service}/{method.name}"
        for _, service, method in methods()
        if method.options.Extensions[annotations_pb2.http].WhichOneof("pattern") is None
    )


def methods() -> Iterator[tuple[str, str, descriptor_pb2.MethodDescriptorProto]]:
    """Yield face, full service and method of every RPC."""
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        if (ours := _OURS.fullmatch(file.package)) is not None:
            for service in file.service:
                for method in service.method:
                    yield ours[1] or NATIVE, f"{file.package}.{service.name}", method


def _spelled(field: str, pattern: str | None) -> str:
    if pattern is None or pattern in ("*", "**"):
        return "{" + field.replace(".", "_") + "}"
    segments = pattern.split("/")
    for index, segment in enumerate(segments):
        if segment in ("*", "**"):
            segments[index] = "{" + segments[index - 1] + "}"
    return "/".join(segments)
