"""The Riza face of a running server, as a caller without the SDK sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.harness import Response, Server

__all__ = ["ECHO", "PATH", "SCRIPT_PATH", "Result", "Riza", "ScriptResult"]

PATH, SCRIPT_PATH = "/v1/execute-function", "/v1/execute"
ECHO = "def execute(input): return input"


_EXECUTION = {"id": str, "exit_code": int, "stdout": str, "stderr": str, "duration": int}


@dataclass(frozen=True)
class ScriptResult:
    """An ExecutionResult, checked for its shape."""

    id: str
    exit_code: int
    stdout: str
    stderr: str
    duration: int

    @classmethod
    def of(cls, answer: Response) -> ScriptResult:
        """Read a 200: every member there, in the document's order, of its type."""
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert [(name, type(value)) for name, value in body.items()] == list(_EXECUTION.items())
        return cls(**body)

    @property
    def last_line(self) -> str:
        """The last line of standard error."""
        return self.stderr.splitlines()[-1]


@dataclass(frozen=True)
class Result:
    """A FunctionResult, checked for its shape."""

    output: Any
    status: str
    id: str
    exit_code: int
    stdout: str
    stderr: str
    duration: int

    @classmethod
    def of(cls, answer: Response) -> Result:
        """Read a 200: every member there, in the document's order, of its type."""
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert list(body) == ["output", "output_status", "execution"]
        execution = body["execution"]
        assert [(name, type(value)) for name, value in execution.items()] == list(_EXECUTION.items())
        if body["output_status"] != "valid":
            assert body["output"] is None
        return cls(body["output"], body["output_status"], *execution.values())

    @property
    def last_line(self) -> str:
        """The last line of standard error."""
        return self.stderr.splitlines()[-1]

    @property
    def ending(self) -> tuple[str, int]:
        """Output status and exit code."""
        return self.status, self.exit_code


@dataclass
class Riza:
    """One caller."""

    server: Server
    key: str

    def send(
        self,
        body: bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
        path: str = PATH,
    ) -> Response:
        """POST exactly these bytes."""
        sent = {"authorization": f"Bearer {self.key if key is None else key}", "content-type": "application/json"}
        return self.server.http("POST", path, body=body, headers=sent | dict(headers or {}))

    def ask(self, method: str, path: str, members: Any = None, *, key: str | None = None) -> Response:
        """Send a request of any resource; ``members`` as JSON."""
        headers = {"authorization": f"Bearer {self.key if key is None else key}"}
        body = None
        if members is not None:
            body = members if isinstance(members, bytes) else json.dumps(members).encode()
            headers["content-type"] = "application/json"
        return self.server.http(method, path, body=body, headers=headers)

    def get(self, path: str, *, key: str | None = None) -> Any:
        """Return what a path has; it must be 200."""
        answer = self.ask("GET", path, key=key)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def post(self, **members: Any) -> Response:
        """POST a request: Python that echoes its input, unless told otherwise."""
        return self.send(json.dumps({"language": "python", "code": ECHO, **members}).encode())

    def run(self, code: str = ECHO, **members: Any) -> Result:
        """Run code; the answer must be a FunctionResult."""
        return Result.of(self.post(code=code, **members))

    def post_script(self, code: str, **members: Any) -> Response:
        """POST a script: Python, unless told otherwise."""
        return self.send(json.dumps({"language": "python", "code": code, **members}).encode(), path=SCRIPT_PATH)

    def script(self, code: str, **members: Any) -> ScriptResult:
        """Run a script; the answer must be an ExecutionResult."""
        return ScriptResult.of(self.post_script(code, **members))

    def refused(self, answer: Response) -> tuple[int, int, str]:
        """Read an error: HTTP status, code, message."""
        body = answer.json()
        assert list(body) == ["code", "message"], answer.body
        assert (type(body["code"]), type(body["message"])) == (int, str)
        assert body["message"]
        assert answer.headers["content-type"] == "application/json"
        return answer.status, body["code"], body["message"]
