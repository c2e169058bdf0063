"""A server that has little to give: who waits, who is refused, who is told what.

The contract's promise of an answer within the timeout and a second is tested here, and where nothing else takes time in
tests/unit/faces/riza (the bound that a run is given).
"""

from __future__ import annotations

import contextlib
import uuid
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import rizaio
from rizaio import Riza as Client

from tests.contracts.riza.driver import Result, Riza
from tests.harness import Server, until

_LOOP = "def execute(input):\n    print('running', flush=True)\n    while True: pass"


@pytest.fixture
def busy(little: Server) -> Riza:
    """A caller of a project of its own, whose runs may take two seconds."""
    return Riza(little, little.new_key(project=f"busy-{uuid.uuid4().hex[:8]}"))


def test_a_full_queue_is_told_before_anything_ran(busy: Riza) -> None:
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(busy.post, code=_LOOP, limits={"execution_timeout": 2}) for _ in range(6)]
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == 4
    for answer in refused:
        status, code, message = busy.refused(answer)
        assert (status, code) == (429, 8)
        assert "nothing ran" in message
        assert int(answer.headers["retry-after"]) >= 1
    results = [Result.of(answer) for answer in answers if answer.status == 200]
    assert [result.ending for result in results] == [("error", 124)] * 2
    # the one that had to wait was stopped early, for the promise to answer within the timeout and a second
    assert sum("it had waited" in result.stderr for result in results) == 1
    assert all(result.last_line == "execution timed out after 2 s (limits.execution_timeout)" for result in results)
    assert busy.run(input=1).output == 1


def test_the_operator_says_how_much_may_be_asked_for(busy: Riza) -> None:
    told = "limits.execution_timeout: must be 1 to 2 seconds, or 0 for 2"
    assert busy.refused(busy.post(limits={"execution_timeout": 3})) == (400, 3, told)
    loop = busy.run(_LOOP, limits={"execution_timeout": 1})
    assert loop.last_line == "execution timed out after 1 s (limits.execution_timeout)"


def _used(server: Server) -> float:
    """Return the seconds of processor time that the processes of the sandbox have used."""
    seconds = 0.0
    for process in server.descendants():
        with contextlib.suppress(psutil.Error):
            if "envoy" not in process.name():
                seconds += process.cpu_times().user
    return seconds


def test_what_may_have_run_is_not_repeated_and_can_be_looked_at(busy: Riza) -> None:
    before = len(busy.get("/v1/executions")["data"])
    begun = _used(busy.server)
    with ThreadPoolExecutor(1) as threads, Client(api_key=busy.key, base_url=busy.server.rest) as client:
        asked = threads.submit(client.command.exec_func, code=_LOOP, language="python", limits={"execution_timeout": 2})
        until(lambda: _used(busy.server) > begun + 0.1, what="the loop")
        for process in busy.server.descendants():
            with contextlib.suppress(psutil.Error):
                if "envoy" not in process.name():
                    process.kill()
        with pytest.raises(rizaio.InternalServerError) as lost:
            asked.result()
    error = lost.value
    assert (error.status_code, error.response.headers["x-should-retry"]) == (500, "false")
    assert error.request.headers["x-stainless-retry-count"] == "0"
    assert isinstance(error.body, dict)
    assert (list(error.body), error.body["code"]) == (["code", "message"], 13)
    latest, *others = busy.get("/v1/executions")["data"]
    assert len(others) == before
    assert (latest["exit_code"], latest["details"]["response"]["output_status"]) == (1, "error")
    assert busy.run(input=1).output == 1
