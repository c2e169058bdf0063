"""polycall executions: what ran, what it wrote, how it ended."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.harness import Server

PACKAGE = "packages/cli-executions"
SOURCE = """
import sys, time

def work(times: int = 1, pause: float = 0.0, fail: bool = False):
    for number in range(times):
        print("out", number, flush=True)
        print("err", number, file=sys.stderr, flush=True)
        time.sleep(pause)
    if fail:
        raise RuntimeError("no luck")
    return times
"""


@pytest.fixture(scope="module", autouse=True)
def _deployed(polycall: Server) -> None:
    polycall.deploy("cli-executions", {"main.py": SOURCE})


def call(cli: Cli, **arguments: object) -> str:
    return cli("call", f"{PACKAGE}/functions/work", "--input", json.dumps(arguments)).text.strip()


def test_the_list_shows_the_newest_first(cli: Cli) -> None:
    names = [call(cli), call(cli, fail=True)]
    for name in names:
        cli("executions", "wait", name)
    listed = cli("executions", "list", "--parent", PACKAGE, "--limit", "2")
    header, *rows = listed.text.splitlines()
    assert header.split() == ["EXECUTION", "STATE", "FUNCTION", "CREATED", "RUN", "WHY"]
    assert [f"executions/{row.split()[0]}" for row in rows] == names[::-1]
    assert [row.split()[1] for row in rows] == ["FAILED", "COMPLETED"]
    assert rows[0].endswith("RuntimeError: no luck")


def test_the_list_can_be_narrowed(cli: Cli) -> None:
    name = call(cli, fail=True)
    cli("executions", "wait", name)
    failed = cli("executions", "list", "--parent", PACKAGE, "--state", "failed", "--since", "1h", "--json").json()
    assert {execution["state"] for execution in failed["executions"]} == {"STATE_FAILED"}
    assert name in [execution["name"] for execution in failed["executions"]]
    assert cli("executions", "list", "--parent", PACKAGE, "--until", "2020-01-01T00:00:00Z", "--json").json() == {}


def test_the_list_pages_until_the_limit(cli: Cli) -> None:
    for _ in range(4):
        call(cli)
    cli.monkeypatch.setattr("polycall.cli.executions._PAGE", 1)
    listed = cli("executions", "list", "--parent", PACKAGE, "--limit", "3", "--json").json()
    assert len({execution["name"] for execution in listed["executions"]}) == 3
    assert listed["nextPageToken"]


def test_an_execution_is_shown_with_its_value_and_output(cli: Cli) -> None:
    name = call(cli, times=2)
    cli("executions", "wait", name)
    shown = cli("executions", "get", name)
    facts = dict(line.split(None, 1) for line in shown.text.splitlines() if not line.startswith(" "))
    assert shown.code == 0
    assert (facts["execution"], facts["state"], facts["value"]) == (name, "COMPLETED", "2")
    assert facts["function"] == f"{PACKAGE}/versions/1/functions/work"
    assert facts["input"] == '{"times": 2}'
    assert "out 0\n" in shown.text
    assert cli("executions", "get", name.removeprefix("executions/"), "--json").json()["outputJson"] == "2"


def test_what_code_asked_of_other_hosts_is_shown(cli: Cli, tmp_path: Path) -> None:
    ask = "try: urllib.request.urlopen('https://evil.example/')\n    except OSError: pass"
    (tmp_path / "ask.py").write_text(f"import urllib.request\ndef execute(input):\n    {ask}")
    name = cli("run", str(tmp_path / "ask.py"), "--allow-host", "api.example.com", "--json").json()["name"]
    shown = cli("executions", "get", name).text
    assert "  CONNECT evil.example:443 evil.example is not among the hosts that this run may reach\n" in shown


def test_logs_keep_the_streams_apart(cli: Cli) -> None:
    name = call(cli, times=2)
    cli("executions", "wait", name)
    logs = cli("executions", "logs", name)
    assert (logs.code, logs.text, logs.err) == (0, "out 0\nout 1\n", "err 0\nerr 1\n")


def test_logs_can_be_followed_to_the_end(cli: Cli) -> None:
    name = call(cli, times=3, pause=0.1)
    logs = cli("executions", "logs", "--follow", name)
    assert (logs.code, logs.text) == (0, "out 0\nout 1\nout 2\n")
    assert logs.err.startswith("err 0\nerr 1\nerr 2\nOK · ")


def test_followed_logs_are_one_json_event_a_line(cli: Cli) -> None:
    name = call(cli, times=1)
    lines = cli("executions", "logs", "--follow", "--json", name).text.splitlines()
    events = [json.loads(line) for line in lines]
    assert next(iter(events[0])) == "started"
    assert events[-1]["finished"]["state"] == "STATE_COMPLETED"


def test_wait_has_a_bound(cli: Cli) -> None:
    name = call(cli, pause=60)
    waited = cli("executions", "wait", "--timeout", "100ms", name)
    assert waited.code == 5
    assert waited.err.split(" · ")[0] in ("QUEUED", "RUNNING")
    assert cli("executions", "cancel", name).code == 0


def test_cancel_ends_a_run(cli: Cli) -> None:
    name = call(cli, pause=60)
    cancelled = cli("executions", "cancel", name)
    assert cancelled.code == 0
    ended = cli("executions", "wait", "--timeout", "30s", name)
    assert ended.code == 1
    assert ended.err.startswith("CANCELLED · ")


@pytest.mark.parametrize("verb", ["get", "logs", "wait", "cancel"])
def test_an_unknown_execution_says_where_to_look(cli: Cli, verb: str) -> None:
    refused = cli("executions", verb, str(uuid.uuid4()))
    assert (refused.code, refused.out) == (2, b"")
    assert refused.err.endswith("`polycall executions list` shows what there is.\n")


def test_another_projects_execution_is_unknown(cli: Cli, polycall: Server) -> None:
    name = call(cli)
    refused = cli("executions", "get", name, "--key", polycall.new_key(project="cli-other"))
    assert refused.code == 2
    assert "does not exist" in refused.err
