"""The contract as the gateway sees it: the descriptor set and the HTTP bindings in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from polycall_gateway.errors import InvalidConfig
from polycall_gateway.templates import Template

__all__ = ["DESCRIPTORS", "NATIVE", "Binding", "Contract"]

# Written by scripts/proto.py, with imports and without source info; the committed contract.
DESCRIPTORS = Path(__file__).parent / "descriptors.pb"

# What the native contract is called where the faces are called by their vendor.
NATIVE = "native"

_NATIVE_PACKAGE = "polycall.v1"
_FACE_PACKAGES = "polycall.faces."


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path of one RPC. An RPC with additional bindings has several."""

    face: str
    service: str
    rpc: str
    verb: str
    template: Template
    streams: bool

    @property
    def name(self) -> str:
        """Name the route in logs: ``riza.ExecuteFunction``."""
        return f"{self.face}.{self.rpc}"


@dataclass(frozen=True)
class Contract:
    """A descriptor set and what it binds to HTTP."""

    descriptors: bytes

    @classmethod
    def load(cls, path: Path = DESCRIPTORS) -> Contract:
        """Read a serialized ``FileDescriptorSet``, by default the committed one."""
        return cls(path.read_bytes())

    @cached_property
    def bindings(self) -> tuple[Binding, ...]:
        """Return every binding, in the order of the files.

        Raises:
            InvalidConfig: two RPCs are bound to one method and path, or a verb is none that Envoy transcodes.
        """
        found: dict[tuple[str, str], Binding] = {}
        for binding in self._walk():
            key = (binding.verb, binding.template.regex)
            other = found.setdefault(key, binding)
            if other is not binding:
                raise InvalidConfig(f"{other.name} and {binding.name} are both bound to {binding.verb} {key[1]}")
        return tuple(found.values())

    @cached_property
    def services(self) -> dict[str, tuple[str, ...]]:
        """Return the full names of each face's services, and of the native ones under ``NATIVE``."""
        services: dict[str, tuple[str, ...]] = {}
        for file, service in self._services():
            face = _face_of(file.package)
            services[face] = (*services.get(face, ()), f"{file.package}.{service.name}")
        return services

    @property
    def faces(self) -> tuple[str, ...]:
        """Return the names of the faces."""
        return tuple(face for face in self.services if face != NATIVE)

    def _services(self) -> Iterator[tuple[descriptor_pb2.FileDescriptorProto, descriptor_pb2.ServiceDescriptorProto]]:
        for file in descriptor_pb2.FileDescriptorSet.FromString(self.descriptors).file:
            if file.package == _NATIVE_PACKAGE or file.package.startswith(_FACE_PACKAGES):
                for service in file.service:
                    yield file, service

    def _walk(self) -> Iterator[Binding]:
        for file, service in self._services():
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                if method.options.deprecated and rule.WhichOneof("pattern") is None:
                    continue  # its path is its successor's; gRPC clients still find it
                for one in (rule, *rule.additional_bindings):
                    yield _binding(file.package, service.name, method, one)


def _face_of(package: str) -> str:
    return NATIVE if package == _NATIVE_PACKAGE else package.removeprefix(_FACE_PACKAGES).partition(".")[0]


def _binding(
    package: str, service: str, method: descriptor_pb2.MethodDescriptorProto, rule: http_pb2.HttpRule
) -> Binding:
    pattern = rule.WhichOneof("pattern")
    if pattern not in ("get", "put", "post", "delete", "patch"):
        raise InvalidConfig(
            f"{package}.{service}.{method.name} has no HTTP binding that Envoy can transcode: {pattern}"
        )
    return Binding(
        face=_face_of(package),
        service=f"{package}.{service}",
        rpc=method.name,
        verb=pattern.upper(),
        template=Template.parse(getattr(rule, pattern)),
        streams=method.server_streaming,
    )
