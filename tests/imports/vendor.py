"""A vendor that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Answer", "Vendor", "vendor"]


@dataclass(frozen=True)
class Answer:
    """What it answers."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Vendor:
    """``answers`` makes an answer of method, path with query, and body."""

    answers: Callable[[str, str, bytes], Answer]
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def vendor(answers: Callable[[str, str, bytes], Answer]) -> Iterator[Vendor]:
    """Serve on a port of its own for the length of a block."""
    here = Vendor(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            here.asked.append((self.command, self.path))
            here.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = here.answers(self.command, self.path, body)
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(answer.body)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        here.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()
