"""A gateway that runs by itself, in front of two servers on one PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import requests

from bench.ledger import Ledger, codes
from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from tests.harness import KEY, Server, until
from tests.replicas import Gateway, gateway, new_database, replicas

# a package each: what is warm has one version loaded
FUNCTIONS = [f"packages/sticky-{number}/functions/echo" for number in range(6)]
SOURCE = "import time\ndef echo(n, seconds=0):\n    time.sleep(seconds)\n    return n\n"


@dataclass(frozen=True)
class Cluster:
    """Two servers and the gateway in front of them."""

    servers: tuple[Server, ...]
    front: Gateway

    def run(self, function: str, n: int) -> requests.Response:
        return requests.post(
            f"http://{self.front.rest}/polycall/v1/{function}:run",
            headers={"authorization": f"Bearer {KEY}"},
            json={"input_json": json.dumps({"n": n})},
            timeout=120,
        )


@pytest.fixture(scope="module")
def cluster(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory, database = tmp_path_factory.mktemp("cluster"), new_database(postgres_server)
    with replicas(directory, database, ("first", "second")) as servers:
        for function in FUNCTIONS:
            servers[0].deploy(function.split("/")[1], {"main.py": SOURCE}, release=True)
        with gateway(directory / "gateway", servers) as front:
            yield Cluster(servers, front)


def test_a_function_stays_on_a_server_and_a_gateway_that_ends_lets_open_requests_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    for function in FUNCTIONS:
        kinds = [cluster.run(function, n).json()["startKind"] for n in range(6)]
        assert kinds[0] != "START_KIND_WARM"
        assert kinds[1:] == ["START_KIND_WARM"] * 5
    with grpc.insecure_channel(cluster.front.mesh) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        for function in FUNCTIONS:
            ran = stub.RunFunction(
                execution_service_pb2.RunFunctionRequest(function=function, input_json='{"n": 1}'),
                metadata=[("authorization", f"Bearer {KEY}"), ("x-polycall-function", function)],
            )
            assert (ran.output_json, ran.start_kind) == ("1", execution_pb2.Execution.START_KIND_WARM)
    # faces come along
    answer = requests.post(
        f"http://{cluster.front.rest}/v1/execute-function",
        headers={"authorization": f"Bearer {KEY}"},
        json={"language": "python", "code": "def execute(input): return input", "input": [1]},
        timeout=120,
    )
    assert (answer.status_code, answer.json()["output"]) == (200, [1])
    cluster.servers[0].deploy("slow", {"main.py": "import time\ndef nap(s): time.sleep(s)"}, release=True)
    with ThreadPoolExecutor() as pool:
        with gateway(tmp_path / "second", cluster.servers) as second:
            slow = pool.submit(
                requests.post,
                f"http://{second.rest}/polycall/v1/packages/slow/functions/nap:run",
                headers={"authorization": f"Bearer {KEY}"},
                json={"input_json": '{"s": 5}'},
                timeout=120,
            )
            until(lambda: any(_runs(server) for server in cluster.servers), what="a run under way")
        # the gateway is gone
        assert slow.result().json()["state"] == "STATE_COMPLETED"


def _runs(server: Server) -> bool:
    # RUNNING is in the store a second after the start
    request = execution_service_pb2.ListExecutionsRequest(states=[execution_pb2.Execution.STATE_RUNNING])
    return bool(server.executions.ListExecutions(request, metadata=server.metadata).executions)


async def test_a_rolling_restart_fails_no_call(cluster: Cluster) -> None:
    # a deadline of a busy machine: that none fails for want of time is the bench's to say
    ledger = Ledger(cluster.front.mesh, FUNCTIONS, seconds=0.05, follow=2, answer_s=120)
    over = asyncio.Event()
    load = asyncio.create_task(ledger.ask(calls=10, runs=10, over=over))
    answers: list[int] = []

    async def by_rest() -> None:
        for n in itertools.count():
            if over.is_set():
                return
            answer = await asyncio.to_thread(cluster.run, FUNCTIONS[n % len(FUNCTIONS)], n)
            answers.append(answer.status_code)
            await asyncio.sleep(0.05)

    resting = asyncio.create_task(by_rest())
    for server in cluster.servers:
        assert await asyncio.to_thread(server.terminate) == 0
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(
            until, lambda: cluster.front.healthy() == 2, seconds=60, what="a gateway that knows both"
        )
    over.set()
    await asyncio.gather(load, resting)
    asked = [*ledger.runs, *ledger.calls, *ledger.waits]
    assert codes(asked) == f"{len(asked)} OK"
    assert set(answers) == {200}
    accounts = await ledger.settled()
    assert accounts.clean, accounts
    assert accounts.accepted == len(ledger.calls) > 10
