"""The Cognite face of a running server, as a caller without the SDK sees it."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polycall.v1 import execution_pb2, package_pb2, tenancy_service_pb2
from tests.harness import Response, Server, until

__all__ = ["ECHO", "Cognite", "archive", "newcomer", "zipped"]

_ids = itertools.count(10_001)  # function ids of these tests; other suites have other packages

ECHO = "def handle(data):\n    return data\n"


def _handle_at(entrypoint: str = "handler:handle") -> package_pb2.Function:
    return package_pb2.Function(name="handle", entrypoint=entrypoint, convention=execution_pb2.CONVENTION_HANDLE)


@dataclass
class Cognite:
    """One caller of one project."""

    server: Server
    key: str
    project: str = "default"
    echo: int = field(init=False, default=0)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request below the project; ``path`` may be absolute. bytes are sent as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        path = path if path.startswith("/") else f"/api/v1/projects/{self.project}/{path}"
        sent = {"authorization": f"Bearer {self.key if key is None else key}", "content-type": "application/json"}
        answer = self.server.http(method, path, body=data, headers=sent | dict(headers or {}))
        assert answer.headers["x-request-id"]
        return answer

    def post(self, path: str, body: object = None, **options: Any) -> Response:
        return self.request("POST", path, body, **options)

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def nonce(self) -> str:
        answer = self.post("sessions", {"items": [{"tokenExchange": True}]})
        assert answer.status == 200, answer.body
        return str(answer.json()["items"][0]["nonce"])

    def deploy(
        self,
        source: str | Mapping[str, str | bytes],
        *,
        function_id: int = 0,
        entrypoint: str = "handler:handle",
        limits: execution_pb2.Limits | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Deploy a function and return its id."""
        function_id = function_id or next(_ids)
        files = {"handler.py": source} if isinstance(source, str) else source
        self.server.deploy(
            str(function_id), files, functions=[_handle_at(entrypoint)], limits=limits, env=env, key=self.key
        )
        return function_id

    def upload(self, files: Mapping[str, str | bytes] | bytes, **written: Any) -> int:
        """Upload a zip of these files, or these bytes, and return the id of the file."""
        made = self.post("files", {"name": "code.zip"} | written)
        assert made.status == 201, made.body
        content = files if isinstance(files, bytes) else archive(files)
        put = self.server.http("PUT", made.json()["uploadUrl"].removeprefix(self.server.rest), body=content)
        assert (put.status, put.body) == (200, b""), put.body
        return int(made.json()["id"])

    def create(self, source: str | Mapping[str, str | bytes] | bytes, **written: Any) -> dict[str, Any]:
        """Create a function from this code and return it, Queued."""
        files = {"handler.py": source} if isinstance(source, str) else source
        answer = self.post("functions", {"items": [{"name": "f", "fileId": self.upload(files)} | written]})
        assert answer.status == 201, answer.body
        [made] = answer.json()["items"]
        return dict(made)

    def deployed(self, source: str | Mapping[str, str | bytes] | bytes, **written: Any) -> dict[str, Any]:
        """Create a function and follow its deployment to the end."""
        return self.end_of_deployment(self.create(source, **written)["id"])

    def end_of_deployment(self, function_id: int) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown = self.get(f"functions/{function_id}").json()
            return dict(shown) if shown["status"] in ("Ready", "Failed") else None

        return dict(until(look, seconds=60, what=f"the end of the deployment of function {function_id}"))

    def call(self, function_id: int, data: bytes = b"{}") -> dict[str, Any]:
        """Call a function with this JSON text as its data."""
        body = b'{"data":%s,"nonce":%s}' % (data, json.dumps(self.nonce()).encode())
        answer = self.post(f"functions/{function_id}/call", body)
        assert answer.status == 201, answer.body
        return dict(answer.json())

    def ended(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Follow a call to its end."""
        path = f"functions/{call['functionId']}/calls/byids"

        def look() -> dict[str, Any] | None:
            answer = self.post(path, {"items": [{"id": call["id"]}]})
            assert answer.status == 200, answer.body
            [item] = answer.json()["items"]
            return None if item["status"] == "Running" else dict(item)

        return dict(until(look, seconds=60, what=f"the end of call {call['id']}"))

    def run(self, function_id: int, data: bytes = b"{}") -> dict[str, Any]:
        """Call a function and follow the call to its end."""
        return self.ended(self.call(function_id, data))

    def response(self, call: Mapping[str, Any]) -> bytes:
        answer = self.get(f"functions/{call['functionId']}/calls/{call['id']}/response")
        assert answer.status == 200, answer.body
        return answer.body

    def result(self, call: Mapping[str, Any]) -> Any:
        """Return what a completed call returned."""
        return json.loads(self.response(call))["response"]

    def logs(self, call: Mapping[str, Any]) -> list[str]:
        answer = self.get(f"functions/{call['functionId']}/calls/{call['id']}/logs")
        assert answer.status == 200, answer.body
        return [entry["message"] for entry in answer.json()["items"]]


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """Return a zip of files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for path, data in files.items():
            opened.writestr(path, data)
    return made.getvalue()


def newcomer(server: Server, project: str) -> Cognite:
    """Return a caller of a project of its own, who may do everything there but manage keys."""
    scopes = tenancy_service_pb2.ApiKey
    rights = [scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY]
    return Cognite(server, server.new_key(project=project, scopes=rights), project=project)


def zipped(body: object) -> bytes:
    return gzip.compress(json.dumps(body).encode())
