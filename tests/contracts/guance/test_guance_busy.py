"""One slot, one place in the queue: what a Guance caller is told when the server is busy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contracts.guance.driver import Guance
from tests.harness import Server, until

SLEEPY = "import time\n\ndef nap(seconds):\n    time.sleep(seconds)\n    return 'awake'\n"


@pytest.fixture
def busy(little: Server) -> Guance:
    little.deploy("tests__sleepy", {"main.py": SLEEPY})
    return Guance(little, little.key)


def test_waiting_for_a_worker_counts_and_a_full_queue_is_429_46(busy: Guance) -> None:
    def nap(seconds: float, patience: int) -> Any:
        return busy.execute("tests__sleepy.nap", {"kwargs": {"seconds": seconds}, "options": {"apiTimeout": patience}})

    def failures(at_once: int) -> list[Any]:
        contents = others.map(nap, [0] * at_once, [1] * at_once)
        return [content for content in contents if not content["ok"]]

    with ThreadPoolExecutor(8) as others:
        holder = others.submit(nap, 4, 10)
        (waited,) = until(lambda: failures(1), what="the slot being taken")
        assert (waited["error"], waited["reason"]) == (599.31, "EFuncTimeout")
        refused = until(lambda: [c for c in failures(4) if c["error"] != 599.31], what="the queue being full")[0]
        assert (refused["error"], refused["reason"]) == (429.46, "EClientRateLimit.WorkerQueueLength")
        assert (refused["message"], refused["detail"]) == ("Too many tasks in queue", {})
        assert holder.result()["data"] == {"result": "awake"}
