"""The world outside a sandbox, on loopback: servers with and without TLS, names that lead to them, an authority."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificates:
    """An authority of the world's, and the certificates that it gives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the world")])
        self.authority = directory / "authority.pem"
        self.authority.write_bytes(self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None)))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: Any, days: int = 2) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server(self, *names: str, days: int = 2) -> ssl.SSLContext:
        """Return what a server that is ``names`` needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(
            x509.Name([]), key, x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), days=days
        )
        path = self._directory / f"{names[0]}{days}.pem"
        path.write_bytes(
            leaf
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@dataclass
class Seen:
    """A request as a server saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Site:
    """A server: what it saw, and where it is."""

    port: int
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def setup(self) -> None:
        super().setup()
        self.site.connections += 1

    def _serve(self) -> None:
        body = b""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.site.seen.append(Seen(self.command, self.path, list(self.headers.items()), body))
        path, _, query = self.path.partition("?")
        if path == "/redirect":
            self._answer(302, b"", ("Location", query))
        elif path == "/login":  # sends back the query that it was asked with
            self._answer(302, b"", ("Location", f"/home?{query}"), ("X-Asked", self.headers.get("authorization", "")))
        elif path == "/large":
            self._answer(200, b"x" * int(query))
        elif path == "/close":
            self.close_connection = True
            self._answer(200, b"closing", ("Connection", "close"))
        else:
            self._answer(200, json.dumps({"path": path, "body": len(body)}).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context.wrap_socket(request, server_side=True) as tls:  # here, in the connection's own thread
            super().finish_request(tls, client_address)

    def handle_error(self, *_: Any) -> None:
        pass  # connections that break are what some tests are about


@contextlib.contextmanager
def site(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve HTTP/1.1 on loopback, with TLS if there is a context."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    server.context = context
    found = Site(server.server_address[1])
    handler.site = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
