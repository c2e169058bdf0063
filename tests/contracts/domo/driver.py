"""The Domo face of a running server, as its callers see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polycall.v1 import execution_pb2, package_pb2
from tests.harness import Response, Server

__all__ = ["ERROR_KEYS", "KEYS", "PACKAGE", "PACKAGES", "VERSION", "Domo", "declare", "typed"]

PACKAGE = "756f0b19-5125-44f6-b541-058980ff6a94"  # of the vendor's document
VERSION = "1.0.1"
KEYS = [
    *("executionId", "packageId", "version", "functionName", "status", "settings", "startedOn", "startedBy"),
    *("completedOn", "result", "stdout", "stderr", "errorInformation"),
]
ERROR_KEYS = [
    *("result", "expectedType", "actualType", "expectedIsList", "actualIsList", "expectedAllowNull", "errorMessages"),
]
CONTENT_TYPE = "application/json;charset=UTF-8"
PACKAGES = "/api/codeengine/v2/packages"


def typed(type: str, **modifiers: Any) -> package_pb2.DeclaredType:
    """Declare a type."""
    return package_pb2.DeclaredType(type=type, **modifiers)


def declare(
    name: str,
    output: package_pb2.DeclaredType | None = None,
    *,
    private: bool = False,
    defaults: Mapping[str, str] | None = None,
    **inputs: package_pb2.DeclaredType,
) -> package_pb2.Function:
    """Declare a function of ``main``; inputs in the order in which they are passed."""
    given = defaults or {}
    return package_pb2.Function(
        name=name,
        convention=execution_pb2.CONVENTION_PARAMETERS if inputs else execution_pb2.CONVENTION_UNSPECIFIED,
        parameters=[
            package_pb2.Parameter(name=name, declared_type=declared, default_json=given.get(name))
            for name, declared in inputs.items()
        ],
        output=output,
        private=private,
    )


@dataclass
class Domo:
    """One caller of one instance."""

    server: Server
    key: str

    def post(
        self,
        function: str,
        body: object = b"",
        *,
        package: str = PACKAGE,
        version: str = VERSION,
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> Response:
        """Send a request to run a function; bytes are sent as they are."""
        path = f"/api/codeengine/v2/packages/{package}/versions/{version}/functions/{function}{query}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-DOMO-Developer-Token": self.key, "Content-Type": "application/json"}
        return self.server.http("POST", path, body=data, headers=sent | dict(headers or {}))

    def get(self, execution_id: str, *, package: str = PACKAGE, key: str | None = None) -> Response:
        """Ask for an execution."""
        headers = {"x-domo-developer-token": self.key if key is None else key, "Content-Type": "application/json"}
        path = f"/api/codeengine/v2/packages/{package}/executions/{execution_id}"
        return self.server.http("GET", path, headers=headers)

    def ask(self, method: str, path: str = "", body: object = None, *, query: str = "", key: str = "") -> Response:
        """Send a request below ``/api/codeengine/v2/packages``."""
        headers = {"x-domo-developer-token": key or self.key, "Content-Type": "application/json"}
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.server.http(method, f"{PACKAGES}{path}{query}", body=data, headers=headers)

    def asked(self, method: str, path: str = "", body: object = None, *, query: str = "") -> Any:
        """Send a request that succeeds, and return what it answers."""
        answer = self.ask(method, path, body, query=query)
        assert (answer.status, answer.reason) == (200, "OK"), answer.body
        assert answer.headers["content-type"] == CONTENT_TYPE
        return answer.json() if answer.body else None

    def saved(self, code: str, *, version: str = "1.0.0", release: bool = True, **more: Any) -> str:
        """Save a new package (Python, unless ``language`` says otherwise), release it, and return its id."""
        body = {"name": "Mine", "language": "PYTHON", "code": code, "version": version, **more}
        package_id = str(self.asked("POST", "", body)["id"])
        if release:
            self.asked("POST", f"/{package_id}/versions/{version}/release")
        return package_id

    def run(
        self, function: str, *, get_logs: bool = False, package: str = PACKAGE, version: str = VERSION, **inputs: object
    ) -> Any:
        """Run a function and return its record, checked for its fields and their order."""
        body = {"inputVariables": inputs, "settings": {"getLogs": get_logs}}
        return self.record(self.post(function, body, package=package, version=version))

    @staticmethod
    def record(answer: Response) -> Any:
        """Return the record of an answer."""
        assert (answer.status, answer.headers["content-type"]) == (200, CONTENT_TYPE), answer.body
        record = answer.json()
        assert list(record) == KEYS
        assert list(record["errorInformation"]) == ERROR_KEYS
        assert list(record["settings"]) == ["getLogs"]
        assert list(record["stdout"]) == list(record["stderr"]) == ["log"]
        if record["status"] != "SUCCESS":
            assert record["errorInformation"]["errorMessages"]
            assert record["result"] is None
        return record

    @staticmethod
    def refusal(answer: Response, status: int, reason: str) -> str:
        """Check an error and return its message."""
        assert (answer.status, answer.reason) == (status, reason), answer.body
        assert answer.headers["content-type"] == CONTENT_TYPE
        body = answer.json()
        assert list(body) == ["status", "statusReason", "message"]
        assert (body["status"], body["statusReason"]) == (status, reason)
        return str(body["message"])
