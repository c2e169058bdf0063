"""The xpander face of a running server, as its callers see it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polycall.v1 import execution_pb2, package_pb2
from tests.harness import Response, Server, until

__all__ = ["FUNCTIONS", "GREETER", "TOOLS", "Xpander", "refused"]

FUNCTIONS = "/v1/custom_functions"
TOOLS = "/tools/xpander-custom-functions"  # before `_` and the id

# What the vendor's own examples look like.
GREETER = 'def xpander_run_action(city: str) -> str:\n    return "Hello, " + city\n'


@dataclass
class Xpander:
    """One caller of one organization."""

    server: Server
    key: str

    def deploy(
        self,
        source: str,
        *,
        functions: Sequence[package_pb2.Function] = (),
        limits: execution_pb2.Limits | None = None,
        function_id: str = "",
    ) -> str:
        """Create a custom function and return its id."""
        function_id = function_id or str(uuid.uuid4())
        self.server.deploy(function_id, {"main.py": source}, functions=functions, limits=limits, key=self.key)
        return function_id

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Response:
        """Send a body (bytes as they are, else as JSON) with the key, and the headers in its stead if there are any."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = self.server.http(
            method, path, body=data, headers={"x-api-key": self.key} if headers is None else headers
        )
        assert answer.headers["content-type"] == "application/json"
        return answer

    def create(self, source: str, **members: object) -> Any:
        """Create a custom function by the vendor's own route and return it once it was analysed."""
        answer = self.ask("POST", FUNCTIONS, {"name": "made", "source_code": source, **members})
        assert answer.status == 201, answer.body
        return self.analysed(answer.json()["id"])

    def analysed(self, function_id: str) -> Any:
        """Return a custom function once it was analysed."""

        def done() -> Any:
            item = self.ask("GET", f"{FUNCTIONS}/{function_id}").json()
            return None if item["status"] == "analysing" else item

        return until(done, seconds=60, what="the analysis")

    def patch(self, function_id: str, **members: object) -> Any:
        """Change a custom function and return it as the answer has it."""
        answer = self.ask("PATCH", f"{FUNCTIONS}/{function_id}", members)
        assert answer.status == 200, answer.body
        return answer.json()

    def send(self, function_id: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> Response:
        """POST exactly these bytes with exactly these headers (default: the key, and JSON)."""
        if headers is None:
            headers = {"x-api-key": self.key, "content-type": "application/json"}
        path = f"/v1/custom_functions/{function_id}/execute"
        answer = self.server.http("POST", path, body=body, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        return answer

    def call(self, function_id: str, body: object = None) -> Any:
        """Call a function; the answer must be 200."""
        answer = self.send(function_id, None if body is None else json.dumps(body).encode())
        assert answer.status == 200, answer.body
        return answer.json()

    def detail(self, function_id: str, body: object = None) -> tuple[int, Any]:
        """Call a function that must fail; return the status and ``detail``."""
        answer = self.send(function_id, None if body is None else json.dumps(body).encode())
        return answer.status, refused(answer)


def refused(answer: Response) -> Any:
    """Return ``detail``, the only member of an error."""
    assert answer.status >= 400, answer.body
    body = answer.json()
    assert list(body) == ["detail"]
    return body["detail"]
