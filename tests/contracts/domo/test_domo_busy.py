"""One slot, one place in the queue: what a Domo caller is told when the server is busy."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.contracts.domo.driver import Domo
from tests.harness import Response, Server, until

SLEEPY = "import time\n\ndef nap(seconds):\n    time.sleep(seconds)\n    return 'awake'\n"


@pytest.fixture
def busy(little: Server) -> Domo:
    little.deploy("sleepy", {"main.py": SLEEPY}, version="1.0.0", release=True)
    return Domo(little, little.key)


def test_a_full_queue_is_429_with_retry_after(busy: Domo) -> None:
    def nap(seconds: float) -> Response:
        return busy.post("nap", {"inputVariables": {"seconds": seconds}}, package="sleepy", version="1.0.0")

    with ThreadPoolExecutor(8) as others:
        long: list[Future[Response]] = []

        def refused() -> Response | None:
            while sum(not each.done() for each in long) < 2:  # one runs, one waits
                long.append(others.submit(nap, 2))
            answer = nap(0)
            return answer if answer.status != 200 else None

        answer = until(refused, seconds=30, what="the queue being full")
        assert busy.refusal(answer, 429, "Too Many Requests")
        assert int(answer.headers["retry-after"]) >= 1
        rested = [each.result() for each in long]
        assert {busy.record(each)["result"] for each in rested if each.status == 200} == {"awake"}
