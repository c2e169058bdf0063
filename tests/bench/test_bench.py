"""The comparison itself: it asks, it checks, it tells. How fast anything is is not tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bench.__main__ import main
from bench.contestants import run_function_job, yardstick
from bench.lists import CLAIM, DELETING, EMPTY, FULL, PAGE
from bench.load import FIRST, Endpoint, Job, measure
from bench.plot import svg
from bench.queues import Accepted
from bench.rounds import Effort, Figure, Recorder
from bench.targets import TARGETS, results

ADD = Job(b'{"a": %d}' % FIRST, b'{"sum": %d}' % (FIRST + 2))


class Adder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wrong_from = 0  # from which request on answers are wrong; 0: never

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["a"]
        wrong = 0 < self.wrong_from <= asked - FIRST
        body = json.dumps({"sum": asked + (3 if wrong else 2)}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=[0, 5])
def adder(request: pytest.FixtureRequest) -> Iterator[tuple[Endpoint, int]]:
    handler = type("Handler", (Adder,), {"wrong_from": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield Endpoint("http", server.server_port, "/"), request.param
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_http_answer_is_checked(adder: tuple[Endpoint, int]) -> None:
    endpoint, wrong_from = adder
    if wrong_from:
        with pytest.raises(RuntimeError, match="WrongAnswer"):
            measure(endpoint, ADD, concurrency=2, seconds=0.2)
    else:
        sample = measure(endpoint, ADD, concurrency=2, seconds=0.2)
        assert sample.total >= sample.count > 0
        assert 0 < sample.p50 <= sample.p99 <= sample.worst


def test_a_yardstick_is_asked_by_grpc_and_leaves_nothing() -> None:
    with yardstick("inline") as rival:
        recorder = Recorder("warm", Effort(seconds=0.2, concurrencies=(1, 4), rounds=1), lambda _: None)
        recorder.rival(rival)
        recorder.paced(rival.name, rival.pid, rival.endpoint, rival.job)
        with pytest.raises(RuntimeError, match="WrongAnswer"):
            measure(rival.endpoint, Job(rival.job.body, b"another answer"), seconds=0.1)
        with pytest.raises(RuntimeError, match="Refused"):  # the RPC fails: no JSON
            measure(rival.endpoint, Job(b"", rival.job.expected), seconds=0.1)
    assert [figure.load for figure in recorder.figures] == ["c=1", "c=4", "50/s"]
    assert all(figure.server_us > 0 and figure.count > 0 for figure in recorder.figures)
    assert not Path(f"/proc/{rival.pid}").exists()


def test_a_short_run_tells_which_targets_are_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "warm", "--seconds", "0.2", "--keep-noisy", "--out", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("*.json")
    report = json.loads(written.read_text())
    assert [target["number"] for target in report["targets"]] == [1, 1, 1, 4]
    assert {figure["name"] for figure in report["rounds"][0]} == {
        "grpc.aio inline",
        "grpc.aio + process pool",
        "polycall RunFunction, warm",
    }
    assert report["about"]["isolation_level"] in (0, 1, 2, 3)
    assert written.with_suffix(".svg").read_text().startswith("<svg")
    assert "warm rate / inline rate, c=16" in capsys.readouterr().out


def test_the_median_over_the_rounds_counts() -> None:
    def one(ours: float) -> list[Figure]:
        names = ("polycall RunFunction, warm", "grpc.aio inline")
        return [
            Figure(part="warm", name=name, load="c=16", rate=rate, p50=1.0, p99=2.0)
            for name, rate in zip(names, (ours, 1000.0), strict=True)
        ]

    found = {result.target.what: result for result in results([one(100.0), one(900.0), one(800.0)])}
    ratio = found["warm rate / inline rate, c=16"]
    assert (ratio.values, ratio.median, ratio.met) == ((0.1, 0.9, 0.8), 0.8, True)
    assert set(found) == {"warm rate / inline rate, c=16", "warm p99 / p50, c=16"}  # the others were not measured
    assert len({target.what for target in TARGETS}) == len(TARGETS)
    assert "polycall RunFunction, warm, c=16" in svg([one(100.0)])


def test_a_job_has_its_number_in_request_and_answer() -> None:
    body, expected = run_function_job().number(7)
    assert b'"a": 1000007' in body
    assert expected == b'{"sum": 1000009}'


def test_jobs_of_a_queue_are_summed_up() -> None:
    accepted = Accepted.of([0.003, 0.001, 0.002, 0.004], seconds=0.5, cpu_s=0.002, warm_up=1)
    assert (accepted.count, accepted.total, accepted.client_us) == (4, 5, 500)
    assert (accepted.p50, accepted.p99) == (3, 4)


def test_a_list_is_as_slow_as_its_slowest_and_compared_with_an_empty_table() -> None:
    def value(name: str, load: str, value: float) -> Figure:
        return Figure(part="lists", name=name.format("SQLite"), load=load, value=value, unit="ms")

    figures = [value(PAGE, FULL, 11), value(CLAIM, EMPTY, 2), value(CLAIM, FULL, 3), value(CLAIM, DELETING, 5)]
    found = {result.target.what: (result.median, result.met) for result in results([figures])}
    assert found == {
        "page of 50, SQLite: slowest list": (11, False),
        "claim, SQLite / empty": (1.5, True),
        "claim, SQLite, deleting / empty": (2.5, False),
    }
