"""The Guance face of a running server, as its callers see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.harness import Response, Server

__all__ = ["FAILURE_KEYS", "GATEWAY_KEYS", "PATH", "SUCCESS_KEYS", "Guance"]

PATH = "/api/v1/outer_function/execute"
GATEWAY_KEYS = ["code", "content", "errorCode", "message", "success", "traceId"]
SUCCESS_KEYS = ["data", "error", "message", "ok", "reqCost", "reqTime", "respTime", "traceId"]
FAILURE_KEYS = [
    *("detail", "error", "message", "ok", "reason", "reqCost", "reqDump", "reqTime", "respTime", "traceId"),
]


@dataclass
class Guance:
    """One caller of one workspace."""

    server: Server
    key: str

    def post(
        self, body: object, *, key: str | None = None, headers: Mapping[str, str] | None = None, path: str = PATH
    ) -> Response:
        """Send a request; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"DF-API-KEY": self.key if key is None else key, "Content-Type": "application/json"}
        return self.server.http("POST", path, body=data, headers=sent | dict(headers or {}))

    def execute(self, func_id: str, body: object = None, **options: Any) -> Any:
        """Run a function and return ``content``, both envelopes checked for their fields and their order."""
        return self.content(self.post({"funcId": func_id, "funcBody": body}, **options))

    def ask(self, verb: str, path: str) -> Any:
        """Return the gateway's envelope of a success."""
        answer = self.server.http(verb, path, headers={"DF-API-KEY": self.key})
        envelope = answer.json()
        assert (answer.status, envelope["code"], envelope["success"]) == (200, 200, True), envelope
        return envelope

    @staticmethod
    def content(answer: Response) -> Any:
        """Return ``content`` of an answer that the gateway itself has nothing against."""
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer.body
        envelope = answer.json()
        assert list(envelope) == GATEWAY_KEYS
        assert (envelope["code"], envelope["success"]) == (200, True)
        assert (envelope["errorCode"], envelope["message"]) == ("", "")
        content = envelope["content"]
        assert list(content) == (SUCCESS_KEYS if content["ok"] else FAILURE_KEYS)
        assert content["traceId"] == envelope["traceId"]
        assert type(content["reqCost"]) is int
        return content

    def result(self, func_id: str, **kwargs: object) -> Any:
        """Run a function that is to succeed and return its result."""
        content = self.execute(func_id, {"kwargs": kwargs})
        assert content["ok"], content
        return content["data"]["result"]
