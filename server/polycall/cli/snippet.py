"""``polycall functions snippet``: looks a function up and has the snippet written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from polycall.cli import snippet_faces, snippet_native
from polycall.cli.client import Client, dialled, rest_url
from polycall.cli.failures import Failure
from polycall.cli.snippet_called import Called, NotCallable, Snippet
from polycall.cli.snippet_input import example_of
from polycall.errors import InvalidArgument
from polycall.names import NEWEST, FunctionName, PackageName

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import Function, Version

__all__ = ["snippet"]

_WRITERS: dict[str, Snippet] = {
    "curl": snippet_native.curl,
    "grpc-python": snippet_native.grpc_python,
    "grpc-node": snippet_native.grpc_node,
    "riza": snippet_faces.riza,
    "cognite": snippet_faces.cognite,
    "guance": snippet_faces.guance,
    "xpander": snippet_faces.xpander,
    "domo": snippet_faces.domo,
}


def snippet(client: Client, name: str, kind: str, *, payload: str | None, rest: str | None, project: str) -> str:
    """Return code that calls a function. Raises Failure: no such function, or none that this contract can call."""
    from polycall.v1 import package_service_pb2 as pb

    try:
        wanted = FunctionName.parse(name, "NAME")
    except InvalidArgument as error:
        raise NotCallable(error.message) from None
    package_name = str(PackageName(wanted.package))
    package = client.call(client.packages.GetPackage, pb.GetPackageRequest(name=package_name))
    version_name = f"{FunctionName(wanted.package, wanted.version or NEWEST, '-')}".rpartition("/functions/")[0]
    version: Version = client.call(client.packages.GetVersion, pb.GetVersionRequest(name=version_name))
    called = Called(
        package=package,
        version=version,
        function=(function := _callable(version, wanted.function)),
        named_version=wanted.version is not None,
        input_json=_input(function, payload),
        rest=_base(rest) if rest else rest_url(client.address),
        grpc=dialled(client.address),
        project=project,
    )
    return _WRITERS[kind](called)


def _callable(version: Version, name: str) -> Function:
    from polycall.v1 import package_pb2

    states = package_pb2.Version
    if version.state not in (states.STATE_READY, states.STATE_RELEASED):
        word = states.State.Name(version.state).removeprefix("STATE_")
        why = f": {version.error}" if version.error else "; wait until it is READY"
        raise NotCallable(f"{version.name} cannot be run, its state is {word}{why}")
    public = [each for each in version.functions if not each.private]
    for each in public:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in public) or "none"
    raise NotCallable(f"{version.name} has no public function {name}; it has: {names}.")


def _input(function: Function, payload: str | None) -> str:
    if payload is None:
        return json.dumps(example_of(function))
    try:
        json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise NotCallable(f"--input is not JSON: {error}.") from None
    return payload.strip()


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Failure(f"--rest must be an http or https URL, such as http://127.0.0.1:8080; it is {url!r}.")
    return url.rstrip("/")
