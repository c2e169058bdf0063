"""The vendor's clients as pytest holds them: a process each, asked line by line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contracts.clients import node_client, python_client
from tests.harness import Server

__all__ = ["App", "Failed", "Library", "app", "library"]

HERE = Path(__file__).parent


class Failed(Exception):
    """Raised for what a client raised; ``answer`` is all that is known of it."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer.get("message") or answer["error"])
        self.answer = answer


class _Piped:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.requests: list[Any] = []

    def ask(self, *request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the client ended"
        answer: dict[str, Any] = json.loads(line)
        self.requests = answer["requests"]
        if "error" in answer:
            raise Failed(answer)
        return answer


class Library(_Piped):
    """domolibrary2 with one token."""

    def __call__(self, function: str, **arguments: Any) -> Any:
        """Call a function of its routes and return the response."""
        return self.ask(function, arguments)["response"]


class App(_Piped):
    """@domoinc/toolkit and ryuu.js on one page, which has no credentials."""

    def toolkit(self, method: str, *given: Any) -> Any:
        """Call a method of CodeEngineClient."""
        return self.ask("toolkit", method, *given)["value"]

    def domo(self, method: str, *given: Any) -> Any:
        """Call a method of ryuu.js."""
        return self.ask("domo", method, *given)["value"]


@contextmanager
def library(server: Server, token: str) -> Iterator[Library]:
    """Run domolibrary2 against a server."""
    python = python_client("domolibrary2==2.1.4")
    with _running([str(python), str(HERE / "library_client.py"), str(server.rest_port), token]) as process:
        yield Library(process)


@contextmanager
def app(server: Server) -> Iterator[App]:
    """Run a page of a browser against a server."""
    modules = node_client({"@domoinc/toolkit": "2.3.0", "ryuu.js": "5.1.4"}) / "node_modules"
    with _running(["node", str(HERE / "app_client.js"), str(modules), server.rest]) as process:
        yield App(process)


@contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
