"""Several servers on one PostgreSQL, and a gateway of its own in front of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import requests
import sqlalchemy as sa

from tests.harness import STOP_S, Server, free_port, until

__all__ = ["Gateway", "gateway", "new_database", "replicas"]


@dataclass(frozen=True)
class Gateway:
    """Where a gateway listens."""

    rest: str
    mesh: str
    admin: Path
    access_log: Path

    def healthy(self) -> int:
        """Return how many servers it sends requests to."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.admin))) as client:
            return client.get("http://admin/clusters").text.count("::health_flags::healthy")


def new_database(postgres_server: str) -> str:
    """Make a database that nobody else uses; return its URL."""
    name = f"replicas_{uuid.uuid4().hex}"

    async def make() -> None:
        connection = await asyncpg.connect(postgres_server)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(make())
    return sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False)


@contextlib.contextmanager
def replicas(
    directory: Path, database: str, names: Sequence[str], settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Server, ...]]:
    """Run servers that share a database and the key for secrets; those that still run at the end are stopped."""
    url = sa.make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    common = {
        "POLYCALL_DATABASE_URL": url,
        "POLYCALL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
        "POLYCALL_GATEWAY": "false",
        "POLYCALL_HEARTBEAT_S": "0.3",
        "POLYCALL_LEASE_S": "3",
        **(settings or {}),
    }
    servers = tuple(
        Server(
            directory / name,
            environment={**common, "POLYCALL_INTERNAL_ADDRESS": f"127.0.0.1:{free_port()}"},
        )
        for name in names
    )
    try:
        for server in servers:
            server.start()
        yield servers
    except BaseException:
        for server in _running(servers):
            server.kill()
        raise
    for server in _running(servers):
        assert server.terminate() == 0, server.log.read_text()[-4000:]


def _running(servers: Sequence[Server]) -> list[Server]:
    return [server for server in servers if server.process is not None and server.process.poll() is None]


@contextlib.contextmanager
def gateway(directory: Path, servers: Sequence[Server]) -> Iterator[Gateway]:
    """Run `polycall gateway run` in front of servers; ready once it knows all of them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYCALL_")}
    log = directory.with_name(f"{directory.name}-access.log")
    environment |= {
        "POLYCALL_ACCESS_LOG": str(log),
        "POLYCALL_DATA_DIR": str(directory),
        "POLYCALL_REST_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_MESH_ADDRESS": f"127.0.0.1:{free_port()}",
        "POLYCALL_REPLICAS": ",".join(server.environment["POLYCALL_INTERNAL_ADDRESS"] for server in servers),
    }
    process = subprocess.Popen(
        [Path(sys.executable).with_name("polycall"), "gateway", "run", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        found = Gateway(told["rest_address"], told["mesh_address"], directory / "gateway" / "envoy" / "admin.sock", log)
        until(lambda: requests.get(f"http://{found.rest}/healthz", timeout=5).status_code == 200, what="a server")
        until(lambda: found.healthy() == len(servers), seconds=60, what="a gateway that knows all")
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        if process.stdout is not None:
            process.stdout.close()
