"""What Prometheus reads of a real server: exact values, and no word that a client chose."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping

import pytest
from google.protobuf import duration_pb2
from prometheus_client.parser import text_string_to_metric_families

from polycall import __version__
from polycall.v1 import error_reason_pb2, execution_pb2, execution_service_pb2, policy_pb2
from tests.deploy.conftest import ROOT
from tests.harness import Server, until

Samples = Mapping[str, float]


class Scraped:
    """A server, and what it says of itself."""

    def __init__(self, server: Server, address: str) -> None:
        self.server = server
        self._url = f"http://{address}/metrics"

    def text(self) -> str:
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            return str(answer.read(), "utf-8")

    def samples(self) -> dict[str, float]:
        """Return every sample under its name as it is written, labels in the order of their names."""
        found = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def execute(self, code: str, limits: execution_pb2.Limits | None = None) -> execution_pb2.Execution:
        request = execution_service_pb2.ExecuteRequest(code=code, limits=limits)
        answer: execution_pb2.Execution = self.server.executions.Execute(request, metadata=self.server.metadata)
        return answer


@pytest.fixture(scope="module")
def scraped(serving: Server) -> Scraped:
    return Scraped(serving, serving.environment["POLYCALL_METRICS_ADDRESS"])


def test_executions_are_counted_by_kind_state_and_reason(scraped: Scraped) -> None:
    scraped.server.deploy("chosen-by-a-client", {"main.py": "def echo(n): return n"}, release=True)
    before = scraped.samples()
    for _ in range(2):
        scraped.execute("def execute(input): return 1")
    scraped.execute("def execute(input): raise ValueError")
    brief = execution_pb2.Limits(timeout=duration_pb2.Duration(nanos=200_000_000))
    scraped.execute("def execute(input):\n while True: pass", brief)
    call = execution_service_pb2.CallRequest(
        function="packages/chosen-by-a-client/functions/echo", input_json='{"n": 1}'
    )
    scraped.server.executions.Call(call, metadata=scraped.server.metadata)
    ended = 'polycall_executions_total{kind="call",reason="",state="COMPLETED"}'
    until(lambda: scraped.samples().get(ended), what="the end of the Call")
    after = scraped.samples()

    def more(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    assert more(ended) == 1
    assert more('polycall_executions_total{kind="sync",reason="",state="COMPLETED"}') == 2
    assert more('polycall_executions_total{kind="sync",reason="USER_EXCEPTION",state="FAILED"}') == 1
    assert more('polycall_executions_total{kind="sync",reason="EXECUTION_TIMEOUT",state="TIMEOUT"}') == 1
    assert sum(more(f'polycall_sandbox_starts_total{{kind="{kind}"}}') for kind in ("cold", "forked", "warm")) == 5
    for phase in ("queue", "start", "run"):
        assert more(f'polycall_execution_seconds_count{{phase="{phase}"}}') == 5
    assert more('polycall_execution_seconds_bucket{le="0.1",phase="run"}') <= 4  # all but the one that was stopped
    assert more('polycall_execution_seconds_sum{phase="run"}') >= 0.2
    assert more('polycall_rpcs_total{code="OK",method="polycall.v1.ExecutionService/Execute"}') == 4


def test_what_a_policy_has_tried_again_is_no_end_until_it_is_over(scraped: Scraped) -> None:
    scraped.server.deploy("failing", {"main.py": "def fail(): raise ValueError"}, release=True)
    failed = 'polycall_executions_total{kind="call",reason="USER_EXCEPTION",state="FAILED"}'
    before = scraped.samples()
    again = policy_pb2.RetryPolicy(
        max_attempts=3,
        initial_backoff=duration_pb2.Duration(nanos=100_000_000),
        reasons=[error_reason_pb2.ERROR_REASON_USER_EXCEPTION],
    )
    call = execution_service_pb2.CallRequest(function="packages/failing/functions/fail", retry_policy=again)
    scraped.server.executions.Call(call, metadata=scraped.server.metadata)
    until(lambda: scraped.samples().get(failed, 0) > before.get(failed, 0), seconds=30, what="the end of the Call")
    after = scraped.samples()
    assert after[failed] - before.get(failed, 0) == 1
    assert after["polycall_retries_total"] - before["polycall_retries_total"] == 2


def test_slots_and_settings_are_shown_as_they_are(scraped: Scraped) -> None:
    def at_rest() -> Samples | None:
        # after the end of a Call it is looked whether another waits, by who has taken a slot for it
        samples = scraped.samples()
        return samples if samples["polycall_slots_occupied"] == 0 else None

    samples: Samples = until(at_rest, what="the last look for Calls to be over")
    expected = {
        "polycall_serving": 1,
        "polycall_slots": 3,
        "polycall_slots_occupied": 0,
        "polycall_slots_occupied_ratio": 0,
        "polycall_waiting": 0,
        "polycall_waiting_limit": 7,
        "polycall_backlog": 0,
        "polycall_database_up": 1,
        "polycall_store_unavailable_total": 0,
        "polycall_fenced_total": 0,
        "polycall_schedule_ticks_missed_total": 0,
        'polycall_schedule_ticks_total{result="ran"}': 0,
        'polycall_webhook_attempts_total{result="given_up"}': 0,
        "polycall_webhook_sending": 0,
        'polycall_records_total{result="dropped"}': 0,
        'polycall_workers{state="busy"}': 0,
        "polycall_isolation_level": scraped.server.ready["isolation_level"],
        "polycall_isolation_floor": 2,
    }
    assert {name: samples[name] for name in expected} == expected
    assert any(name.startswith("polycall_build_info") and f'version="{__version__}"' in name for name in samples)
    assert samples["process_resident_memory_bytes"] > 0
    # alone on its database it has no lease
    assert not {"polycall_lease_held", "polycall_other_servers"} & samples.keys()


def test_a_slot_that_is_taken_is_seen(scraped: Scraped) -> None:
    request = execution_service_pb2.ExecuteRequest(code="import time\ndef execute(input): time.sleep(30)")
    running = scraped.server.executions.Execute.future(request, metadata=scraped.server.metadata)
    until(lambda: scraped.samples()["polycall_slots_occupied"] == 1, what="a taken slot")
    assert scraped.samples()["polycall_slots_occupied_ratio"] == pytest.approx(1 / 3)
    running.cancel()
    until(lambda: scraped.samples()["polycall_slots_occupied"] == 0, what="a slot that came back")


def test_no_word_of_a_client_is_in_a_label(scraped: Scraped) -> None:
    key = scraped.server.new_key(project="project-chosen")
    scraped.server.deploy("package-chosen", {"main.py": "def echo(n): return n"}, release=True)
    request = execution_service_pb2.RunFunctionRequest(
        function="packages/package-chosen/functions/echo", input_json='{"n": 1}'
    )
    scraped.server.executions.RunFunction(request, metadata=scraped.server.metadata)
    scraped.server.executions.Execute(
        execution_service_pb2.ExecuteRequest(code="def execute(input): return 1"),
        metadata=[("authorization", f"Bearer {key}")],
    )
    scraped.server.http("GET", "/path-chosen")
    unknown = scraped.server.channel.unary_unary("/polycall.v1.ExecutionService/MethodChosen")
    with pytest.raises(Exception, match="MethodChosen"):
        unknown(b"", metadata=scraped.server.metadata)
    text = scraped.text()
    assert "hosen" not in text
    assert key not in text


def test_the_page_names_every_metric_and_no_other() -> None:
    source = (ROOT / "server" / "polycall" / "metrics" / "families.py").read_text()
    counters = {f"{name}_total" for name in re.findall(r'_counted\(\s*"(polycall_\w+)"', source)}
    others = {name for name in re.findall(r'"(polycall_\w+)"', source) if f"{name}_total" not in counters}
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert set(re.findall(r"\bpolycall_[a-z_]+", page)) - {"polycall_gateway"} == counters | others
