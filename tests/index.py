"""A package index of our own (PEP 503), for builds that shall hang, or hold what no real package holds."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["Index", "running_index", "wheel"]


def wheel(name: str, files: Mapping[str, str | bytes], version: str = "1.0") -> bytes:
    """Return a wheel of pure Python."""
    info = f"{name}-{version}.dist-info"
    contents: dict[str, bytes] = {
        path: text.encode() if isinstance(text, str) else text for path, text in files.items()
    }
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return _packed(contents, info)


def _packed(contents: Mapping[str, bytes], info: str) -> bytes:
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for path, data in contents.items()
    ]
    record = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in {**contents, f"{info}/RECORD": record}.items():
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

    def offer_installed(self, name: str) -> None:
        """Offer a package as it is installed here, with all that it needs."""
        for each in _needed(name, set()):
            found = metadata.distribution(each)
            tags = [line for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")]
            plain = re.sub(r"[-_.]+", "_", found.metadata["Name"]).lower()
            file = f"{plain}-{found.version}-{tags[0].removeprefix('Tag: ')}.whl"
            contents = _contents(found)
            info = next(path.partition("/")[0] for path in contents if path.endswith(".dist-info/METADATA"))
            self.files[file] = _packed(contents, info)

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


def _contents(found: metadata.Distribution) -> dict[str, bytes]:
    kept = {}
    for path in found.files or ():
        if ".." not in path.parts and path.suffix != ".pyc" and path.name != "RECORD":
            kept[str(path)] = Path(str(found.locate_file(path))).read_bytes()
    return kept


def _needed(name: str, seen: set[str]) -> set[str]:
    if name not in seen:
        seen.add(name)
        for text in metadata.distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                _needed(needed.name, seen)
    return seen


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
