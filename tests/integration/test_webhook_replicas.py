"""Two servers on one PostgreSQL: each notification is sent by one of them, and by the other if that one is lost."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from polycall.v1 import execution_service_pb2, webhook_pb2
from polycall.v1 import webhook_service_pb2 as pb
from tests.harness import Server, until
from tests.receiver import Receiver, receiver


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as receiving:
        yield receiving


@pytest.fixture
def pair(postgres: str, hooks: Receiver, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that share a database and the key for secrets."""
    settings = {
        "POLYCALL_DATABASE_URL": sa.make_url(postgres)
        .set(drivername="postgresql")
        .render_as_string(hide_password=False),
        "POLYCALL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "POLYCALL_GATEWAY": "false",
        "POLYCALL_HEARTBEAT_S": "0.3",
        "POLYCALL_LEASE_S": "2",
        "POLYCALL_SLOTS": "2",
        "POLYCALL_WEBHOOK_HOSTS": f"127.0.0.1:{hooks.port}",
        "POLYCALL_WEBHOOK_NETWORKS": "127.0.0.1",
        "POLYCALL_WEBHOOK_HTTP": "true",
    }
    servers = [Server(tmp_path / name, environment=settings) for name in ("first", "second")]
    try:
        for server in servers:
            server.start()
        servers[0].deploy("told", {"main.py": "def give(n):\n    return n\n"}, release=True)
        servers[0].webhooks.RotateSigningSecret(pb.RotateSigningSecretRequest(), metadata=servers[0].metadata)
        yield servers[0], servers[1]
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.terminate()


def call(server: Server, url: str, n: int) -> str:
    request = execution_service_pb2.CallRequest(
        function="packages/told/functions/give", input_json=json.dumps({"n": n}), completion_url=url
    )
    return str(server.executions.Call(request, metadata=server.metadata).name)


def states(server: Server, *names: str) -> Counter[int]:
    request = pb.ListDeliveriesRequest(page_size=1000)
    found = server.webhooks.ListDeliveries(request, metadata=server.metadata).deliveries
    return Counter(one.state for one in found if one.execution in names)


def test_each_is_told_once_and_by_the_other_if_one_is_lost(pair: tuple[Server, Server], hooks: Receiver) -> None:
    names = [call(pair[n % 2], hooks.url("/done"), n) for n in range(40)]
    until(lambda: states(pair[0], *names) == {webhook_pb2.Delivery.STATE_DELIVERED: 40}, seconds=60, what="all of them")
    told = Counter(json.loads(got.body)["data"]["name"] for got in hooks.at("/done"))
    assert told == dict.fromkeys(names, 1)

    free = threading.Event()

    def hang() -> tuple[int, dict[str, str]]:
        free.wait(60)
        return 204, {}

    # each is at a receiver that does not answer with as many as may be sent at once, and one of them is killed
    hooks.replies["/hang"] = [hang] * 8
    stuck = [call(pair[n % 2], hooks.url("/hang"), n) for n in range(8)]
    try:
        until(lambda: len(hooks.at("/hang")) == 8, what="all of them to be sent")
        pair[0].kill()
    finally:
        free.set()
    until(lambda: states(pair[1], *stuck) == {webhook_pb2.Delivery.STATE_DELIVERED: 8}, seconds=60, what="all of them")
    ids = Counter(got.id for got in hooks.at("/hang"))
    assert sorted(ids.values()) == [1] * 4 + [2] * 4  # twice with one id, by which a receiver knows
