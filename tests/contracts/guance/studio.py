"""Who writes scripts: DataFlux Func's own routes, as its users and scripts of theirs call them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polycall.v1 import tenancy_service_pb2
from tests.contracts.guance.driver import FAILURE_KEYS, SUCCESS_KEYS
from tests.harness import Response, Server

__all__ = ["Studio", "new_studio", "signed_in"]


@dataclass
class Studio:
    """One user, signed in."""

    server: Server
    token: str
    key: str  # that was signed in with

    def ask(self, verb: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Response:
        """Send a request below ``/api/v1``; bytes are sent as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-Dff-Auth-Token": self.token} if headers is None else dict(headers)
        return self.server.http(
            verb, f"/api/v1/{path}", body=data, headers={"Content-Type": "application/json", **sent}
        )

    def good(self, verb: str, path: str, body: object = None) -> Any:
        """Return ``data`` of a success, its envelope checked for its fields and their order."""
        answer = self.ask(verb, path, body)
        assert answer.status == 200, answer.body
        content = answer.json()
        assert list(content) == SUCCESS_KEYS
        assert (content["ok"], content["error"], content["message"]) == (True, 200, "")
        assert isinstance(content["traceId"], str)
        return content["data"]

    def bad(self, verb: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """Return a failure, its envelope checked; the HTTP status is the whole part of ``error``."""
        answer = self.ask(verb, path, body, headers=headers)
        content = answer.json()
        assert list(content) == FAILURE_KEYS, content
        assert (answer.status, content["ok"]) == (int(content["error"]), False)
        assert content["reqDump"]["url"] == f"/api/v1/{path.partition('?')[0]}"
        assert content["reqDump"]["method"] == verb
        return content

    def script_set(self, set_id: str, **data: object) -> None:
        """Add a script set."""
        assert self.good("POST", "script-sets/do/add", {"data": {"id": set_id, **data}}) == {"id": set_id}

    def published(self, script_id: str, code: str) -> Any:
        """Add a script and publish it."""
        body = {"data": {"id": script_id, "codeDraft": code}}
        assert self.good("POST", "scripts/do/add", body) == {"id": script_id}
        return self.publish(script_id)

    def edit(self, script_id: str, code: str) -> str:
        """Change a draft; return its MD5."""
        return str(self.good("POST", f"scripts/{script_id}/do/modify", {"data": {"codeDraft": code}})["codeDraftMD5"])

    def publish(self, script_id: str) -> Any:
        """Publish a draft."""
        return self.good("POST", f"scripts/{script_id}/do/publish", {"force": False, "data": {"note": "a test"}})

    def call(self, func_id: str, options: object = None, **kwargs: object) -> Any:
        """Call a published function by the bare route and return its result."""
        return self.good("POST", f"func/{func_id}", {"kwargs": kwargs, "options": options})["result"]


def signed_in(server: Server, key: str) -> Studio:
    """Return whoever has a key, signed in with it."""
    """Sign in with a key."""
    body = json.dumps({"signIn": {"username": "ada", "password": key}}).encode()
    answer = server.http("POST", "/api/v1/auth/do/sign-in", body=body, headers={"Content-Type": "application/json"})
    assert answer.status == 200, answer.body
    return Studio(server, answer.json()["data"]["xAuthToken"], key)


def new_studio(server: Server) -> Studio:
    """Return somebody with a project of their own, signed in."""
    scopes = tenancy_service_pb2.ApiKey
    all_of_them = [scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY]
    return signed_in(server, server.new_key(project=f"studio-{uuid.uuid4().hex[:8]}", scopes=all_of_them))
