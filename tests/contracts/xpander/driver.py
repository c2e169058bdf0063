"""The xpander face of a running server, as its callers see it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polycall.v1 import execution_pb2, package_pb2
from tests.harness import Response, Server

__all__ = ["GREETER", "Xpander", "refused"]

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
