"""Envoy's admin interface, over its Unix socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from polycall_gateway.errors import EnvoyFailed

__all__ = ["Admin", "AdminUnreachable"]

# One answer of the admin thread; it has nothing else to do.
_TIMEOUT_S = 5.0


class AdminUnreachable(EnvoyFailed):
    """Raised when nobody answers on the admin socket."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True, slots=True)
class Admin:
    """Asks and tells a running Envoy. Every method raises AdminUnreachable when there is none."""

    path: Path

    async def ready(self) -> bool:
        """Tell whether Envoy has taken its first configuration and serves."""
        status, _ = await self._ask("GET", "/ready")
        return status == http.client.OK

    async def addresses(self) -> dict[str, str]:
        """Return the address of each listener by name, with the port that the kernel chose for port 0."""
        found = {}
        for listener in json.loads(await self._get("/listeners?format=json")).get("listener_statuses", ()):
            address = listener["local_address"]
            if "pipe" in address:
                found[listener["name"]] = f"unix:{address['pipe']['path']}"
            else:
                host, port = address["socket_address"]["address"], address["socket_address"]["port_value"]
                found[listener["name"]] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return found

    async def stats(self, regex: str) -> dict[str, Any]:
        """Return counters, gauges and texts whose name contains a match of ``regex``."""
        stats = json.loads(await self._get(f"/stats?format=json&filter={quote(regex)}"))["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}

    async def fail_health(self) -> None:
        """Answer 503 on /healthz from now on, so that balancers look elsewhere."""
        await self._ask("POST", "/healthcheck/fail")

    async def drain(self) -> None:
        """Ask clients to go: every answer closes its connection from now on, new ones are still taken."""
        await self._ask("POST", "/drain_listeners?graceful")

    async def _get(self, target: str) -> bytes:
        status, body = await self._ask("GET", target)
        if status != http.client.OK:
            raise AdminUnreachable(f"GET {target} on Envoy's admin socket answered {status}")
        return body

    async def _ask(self, method: str, target: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(self._ask_now, method, target)

    def _ask_now(self, method: str, target: str) -> tuple[int, bytes]:
        connection = _Connection(self.path)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminUnreachable(f"Envoy does not answer on its admin socket: {error}") from None
        finally:
            connection.close()
