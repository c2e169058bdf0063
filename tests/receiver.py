"""A receiver of webhooks: a real HTTP server that keeps what it got and answers as it is told, by path."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Got", "Receiver", "Reply", "receiver"]

Reply = tuple[int, Mapping[str, str]]
_OK: Reply = (204, {})


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: Message
    body: bytes

    @property
    def id(self) -> str:
        """What tells it from others, however often it is sent."""
        return str(self.headers["webhook-id"])


@dataclass
class Receiver:
    """What it got, in order; ``replies`` are used up by their path, then it answers 204."""

    port: int
    got: list[Got] = field(default_factory=list)
    replies: dict[str, list[Reply | Callable[[], Reply]]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """Return the URL of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Got]:
        """Return what came to a path."""
        return [one for one in self.got if one.path == path]


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiving.got.append(Got(self.path, self.headers, body))
            told = receiving.replies.get(self.path)
            reply = told.pop(0) if told else _OK
            status, headers = reply() if callable(reply) else reply
            with contextlib.suppress(OSError):  # whoever asked may be gone
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        receiving = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiving
        finally:
            server.shutdown()
            thread.join()
