"""`polycall import` beside a real server, into a project of the test's own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from polycall.v1 import execution_service_pb2, package_service_pb2, tenancy_service_pb2
from tests.cli.conftest import Cli, Result, alone
from tests.harness import Response, Server

__all__ = ["EXPORTS", "Place", "alone"]

EXPORTS = Path(__file__).with_name("exports")
_SCOPES = [
    tenancy_service_pb2.ApiKey.SCOPE_RUN,
    tenancy_service_pb2.ApiKey.SCOPE_READ,
    tenancy_service_pb2.ApiKey.SCOPE_DEPLOY,
]


@dataclass(frozen=True)
class Place:
    """An empty project of a server, to import into."""

    cli: Cli
    server: Server
    project: str
    key: str

    def imports(self, vendor: str, *arguments: str) -> Result:
        """Run `polycall import VENDOR` into this project."""
        return self.command("import", vendor, *arguments)

    def command(self, *arguments: str, stdin: str = "") -> Result:
        """Run `polycall ...` with this project's key."""
        with self.cli.monkeypatch.context() as patch:
            patch.setenv("POLYCALL_SERVER", self.server.grpc)
            patch.setenv("POLYCALL_API_KEY", self.key)
            return self.cli(*arguments, stdin=stdin)

    def outcomes(self, vendor: str, *arguments: str, code: int = 0) -> list[tuple[str, str, str]]:
        """Import, and return kind, id and action of each object."""
        done = self.imports(vendor, *arguments, "--json")
        assert done.code == code, done.err or done.text
        return [(outcome["kind"], outcome["id"], outcome["action"]) for outcome in done.json()["outcomes"]]

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request to the faces, with this project's key in every vendor's header."""
        data = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        credentials = {
            "authorization": f"Bearer {self.key}",
            "x-domo-developer-token": self.key,
            "df-api-key": self.key,
        }
        return self.server.http(
            method, path, body=data, headers={**credentials, "content-type": "application/json", **named}
        )

    def packages(self) -> list[str]:
        """Return the ids of what is there, newest first."""
        listed = self.server.packages.ListPackages(
            package_service_pb2.ListPackagesRequest(page_size=1000),
            metadata=[("authorization", f"Bearer {self.key}")],
            timeout=30,
        )
        return [unquote(package.name.removeprefix("packages/")) for package in listed.packages]

    def run(self, function: str, payload: Any) -> Any:
        """Run a function natively and return its value."""
        request = execution_service_pb2.RunFunctionRequest(function=function, input_json=json.dumps(payload))
        done = self.server.executions.RunFunction(
            request, metadata=[("authorization", f"Bearer {self.key}")], timeout=30
        )
        return json.loads(done.output_json)


@pytest.fixture
def new_place(alone: Cli, polycall: Server) -> Callable[[], Place]:
    """Make empty projects of the shared server."""

    def made() -> Place:
        project = f"import-{uuid.uuid4().hex[:12]}"
        return Place(alone, polycall, project, polycall.new_key(project=project, scopes=_SCOPES))

    return made


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    """An empty project."""
    return new_place()
