"""One slot and no queue: what a Domo caller is told when the server is busy."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contracts.domo.driver import Domo
from tests.harness import Response, running_server, until

SLEEPY = "import time\n\ndef nap(seconds):\n    time.sleep(seconds)\n    return 'awake'\n"


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domo]:
    with running_server(tmp_path_factory.mktemp("domo"), POLYCALL_SLOTS="1", POLYCALL_QUEUE="0") as server:
        server.deploy("sleepy", {"main.py": SLEEPY}, version="1.0.0", release=True)
        yield Domo(server, server.key)


def test_a_full_queue_is_429_with_retry_after(busy: Domo) -> None:
    def nap(seconds: float) -> Response:
        return busy.post("nap", {"inputVariables": {"seconds": seconds}}, package="sleepy", version="1.0.0")

    with ThreadPoolExecutor() as others:
        long = [others.submit(nap, 3)]

        def refused() -> Response | None:
            if long[-1].done():  # a short nap had the slot when it came
                long.append(others.submit(nap, 3))
            answer = nap(0)
            return answer if answer.status != 200 and not long[-1].done() else None

        answer = until(refused, what="the slot being taken")
        assert busy.refusal(answer, 429, "Too Many Requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert busy.record(long[-1].result())["result"] == "awake"
