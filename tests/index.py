"""A package index of our own (PEP 503), for builds that shall hang, or hold what no real package holds."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Index", "running_index", "wheel"]


def wheel(name: str, files: Mapping[str, str | bytes], version: str = "1.0") -> bytes:
    """Return a wheel of pure Python."""
    info = f"{name}-{version}.dist-info"
    contents: dict[str, bytes] = {
        path: text.encode() if isinstance(text, str) else text for path, text in files.items()
    }
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for path, data in contents.items()
    ]
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            archive.writestr(path, data)
    return out.getvalue()


@dataclass
class Index:
    """What is asked of it and what it answers. ``held``: names whose pages wait until ``release``."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)  # file name -> wheel
    asked: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    elsewhere: dict[str, str] = field(default_factory=dict)  # name -> URL of its file on another host
    released: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, files: Mapping[str, str | bytes]) -> None:
        """Offer a package."""
        self.files[f"{name}-1.0-py3-none-any.whl"] = wheel(name, files)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[0] == "files" and parts[-1] in self.files:
            return 200, "application/octet-stream", self.files[parts[-1]]
        name = parts[-1]
        if name in self.held:
            self.released.wait(60)
        found = [file for file in self.files if file.startswith(name.replace("-", "_") + "-")]
        links = "".join(f'<a href="{self.elsewhere.get(name, f"/files/{file}")}">{file}</a>' for file in found)
        return (200 if found else 404), "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


@contextmanager
def running_index() -> Iterator[Index]:
    """Serve an index on loopback for the length of a block."""
    index = Index()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = index.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # who asked was killed
                super().handle()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.released.set()
        server.shutdown()
        server.server_close()
