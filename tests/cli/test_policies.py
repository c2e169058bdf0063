"""polycall policies, and what projects, calls and schedules say of limits and retries."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.cli.test_schedules import facts

CODE = "def give(n=0):\n    print('gave')\n    if n:\n        raise ValueError(n)\n    return n\n"
GIVE = "packages/cli-governed/functions/give"


def test_a_policy_is_set_seen_and_taken_away(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(CODE)
    assert cli("deploy", str(tmp_path / "main.py"), "--package", "cli-governed").code == 0
    done = cli("policies", "set", GIVE, "--max-running", "3", "--retry", "2", "--backoff", "100ms", "--jitter", "0")
    assert done.code == 0, done.err
    shown = facts(done.text)
    assert (shown["function"], shown["running"], shown["waiting"]) == (GIVE, "0", "0")
    assert "at once      3" in done.text
    assert "2 starts; waits 100.0 ms to 1 min 0 s, times 2, jitter 0; after" in done.text
    listed = cli("policies", "list").text
    assert GIVE in listed
    failed = cli("call", GIVE, "--input", '{"n": 7}', "--wait", "--priority", "-3", "--json")
    assert failed.code == 1
    execution = failed.json()
    assert (execution["attempt"], execution["priority"], len(execution["attempts"])) == (2, -3, 1)
    name = execution["name"]
    seen = cli("executions", "get", name).text
    assert "1: USER_EXCEPTION at" in seen
    first = cli("executions", "get", name, "--attempt", "1", "--json").json()
    assert (first["attempt"], first["stdout"]) == (1, "gave\n")
    own = cli("call", GIVE, "--input", '{"n": 7}', "--wait", "--retry", "1", "--json").json()
    assert own["attempt"] == 1
    assert "at once" not in cli("policies", "set", GIVE, "--no-retry", "--json").text
    gone = cli("policies", "set", GIVE, "--no-limit")
    assert "any number" in gone.text
    assert "nothing" in gone.text
    assert GIVE not in cli("policies", "list").text
    cli("packages", "delete", "cli-governed", "--yes")


def test_a_schedule_has_a_priority_and_a_retry_policy(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(CODE)
    assert cli("deploy", str(tmp_path / "main.py"), "--package", "cli-again").code == 0
    function = "packages/cli-again/functions/give"
    made = cli(
        *("schedules", "create", function, "0 0 1 1 *", "--id", "cli-again", "--input", '{"n": 7}'),
        *("--priority", "2", "--retry", "2", "--backoff", "100ms", "--retry-on", "user_exception", "--json"),
    )
    assert made.code == 0, made.err
    schedule = made.json()
    assert (schedule["priority"], schedule["retryPolicy"]["maxAttempts"]) == (2, 2)
    assert schedule["retryPolicy"]["reasons"] == ["ERROR_REASON_USER_EXCEPTION"]
    ran = cli("schedules", "run", "cli-again", "--wait", "--json").json()
    assert (ran["attempt"], ran["priority"]) == (2, 2)
    changed = cli("schedules", "update", "cli-again", "--priority", "9", "--json").json()
    assert (changed["priority"], changed["retryPolicy"]) == (9, schedule["retryPolicy"])
    assert "-9 to 9" in cli("schedules", "update", "cli-again", "--priority", "10").err
    cli("packages", "delete", "cli-again", "--yes")


def test_a_project_is_limited(cli: Cli) -> None:
    cli("projects", "create", "cli-limited")
    assert "at once  5" in cli("projects", "set", "cli-limited", "--max-running", "5").text
    assert "5" in cli("projects", "list").text
    shown = cli("projects", "get", "cli-limited", "--json").json()
    assert (shown["name"], shown["maxRunning"]) == ("projects/cli-limited", 5)
    renamed = cli("projects", "set", "cli-limited", "--display-name", "L", "--no-limit", "--json").json()
    assert (renamed["displayName"], "maxRunning" in renamed) == ("L", False)


def test_what_makes_no_sense_is_said_before_the_server_is_asked(alone: Cli) -> None:
    for arguments, said in (
        (("policies", "set", GIVE), "say what to set"),
        (("policies", "set", GIVE, "--no-limit", "--max-running", "3"), "given and taken away at once"),
        (("policies", "set", GIVE, "--retry", "3", "--no-retry"), "given and taken away at once"),
        (("call", GIVE, "--backoff", "3s"), "say with --retry"),
        (("call", GIVE, "--retry", "3", "--retry-on", "nonsense"), "nonsense"),
        (("projects", "set", "p"), "say what to set"),
    ):
        result = alone(*arguments, "--server", "127.0.0.1:1", "--key", "k")
        assert (result.code, said in result.err) == (2, True), result.err
