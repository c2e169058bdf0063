"""A plain HTTP/1.1 client: the path goes out as it is written, and the reason phrase comes back."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping

from tests.harness import Response

TIMEOUT_S = 20.0


async def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make one request on a connection of its own."""
    return await asyncio.to_thread(_ask, address, method, path, body, headers or {})


def _ask(address: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        send(connection, method, path, body, headers)
        return receive(connection)
    finally:
        connection.close()


def send(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> None:
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if body is not None and "transfer-encoding" not in headers:
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)


def receive(connection: http.client.HTTPConnection) -> Response:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, response.reason, headers, response.read())
