"""polycall schedules: functions that run by the clock."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli
from tests.harness import Server, until
from tests.ticks import make_due

CODE = "def twice(n=1):\n    return 2 * n\ndef late():\n    raise ValueError('late')\n"


def facts(text: str) -> dict[str, str]:
    """Return what stands beside each name; the lines that continue one have none."""
    return dict(line.split(None, 1) for line in text.splitlines() if not line.startswith(" ") and len(line.split()) > 1)


def test_a_schedule_is_made_seen_changed_run_and_deleted(cli: Cli, polycall: Server, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(CODE)
    assert cli("deploy", str(tmp_path / "main.py"), "--package", "cli-ticks").code == 0
    made = cli(
        *("schedules", "create", "packages/cli-ticks/functions/twice", "30 4 1 1 *", "--id", "cli-yearly"),
        *("--timezone", "Europe/Oslo", "--input", '{"n": 21}', "--overlap", "skip", "--missed", "run-last"),
        *("--deadline", "5m", "--timeout", "2s", "--max-attempts", "1", "--display-name", "Yearly"),
    )
    assert made.code == 0, made.err
    shown = facts(made.text)
    assert (shown["schedule"], shown["cron"], shown["overlap"]) == ("schedules/cli-yearly", "30 4 1 1 *", "skip")
    assert "At 04:30 on January 1 (Europe/Oslo)" in made.text
    assert "run-last" in made.text
    assert (shown["deadline"], shown["limits"], shown["attempts"]) == ("5 min 0 s", "timeout 2 s", "1")
    assert cli("schedules", "get", "cli-yearly").text == made.text
    listed = cli("schedules", "list", "--parent", "packages/cli-ticks").text.splitlines()
    assert len(listed) == 2
    assert listed[1].startswith("cli-yearly")
    assert listed[1].endswith("0     0")
    assert cli("schedules", "list", "--parent", "packages/cli-ticks", "--json").json()["schedules"][0]["cron"]

    changed = cli("schedules", "update", "cli-yearly", "--cron", "0 5 1 1 *", "--description", "Later", "--json").json()
    assert (changed["when"], changed["description"]) == ("At 05:00 on January 1", "Later")
    assert changed["inputJson"] == '{"n": 21}'
    assert len(changed["nextRuns"]) == 5
    assert "paused" in cli("schedules", "pause", "schedules/cli-yearly").text
    assert "nextRuns" not in cli("schedules", "get", "cli-yearly", "--json").json()
    assert cli("schedules", "resume", "cli-yearly", "--json").json().get("paused") is None

    asked = cli("schedules", "run", "cli-yearly", "--wait")
    assert (asked.code, asked.text) == (0, "42\n")
    assert cli("schedules", "run", "cli-yearly").text.startswith("executions/")
    make_due(polycall, "cli-yearly")
    until(lambda: cli("schedules", "get", "cli-yearly", "--json").json().get("runCount") == "1", what="the tick")

    def ended() -> bool:
        runs = cli("executions", "list", "--schedule", "cli-yearly", "--json").json()["executions"]
        return [run["state"] for run in runs] == ["STATE_COMPLETED"] * 3

    until(ended, what="three runs")
    assert cli("schedules", "delete", "cli-yearly", "--yes").text == "schedules/cli-yearly is deleted.\n"
    assert cli("schedules", "get", "cli-yearly").code == 2
    assert len(cli("executions", "list", "--schedule", "cli-yearly", "--json").json()["executions"]) == 3


def test_what_is_wrong_with_a_schedule_is_said(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(CODE)
    assert cli("deploy", str(tmp_path / "main.py"), "--package", "cli-wrong").code == 0
    never = cli("schedules", "create", "packages/cli-wrong/functions/twice", "0 0 31 2 *")
    assert never.code == 2
    assert "schedule.cron: has a day-of-month that cannot be understood, or never comes" in never.err
    unknown = cli("schedules", "create", "packages/cli-wrong/functions/thrice", "* * * * *")
    assert (unknown.code, "functions of this version: twice, late" in unknown.err) == (2, True)
    assert "say what to change" in cli("schedules", "update", "nothing").err
    failed = cli(
        "schedules", "create", "packages/cli-wrong/functions/late", "0 0 1 1 *", "--id", "cli-late", "--paused"
    )
    assert failed.code == 0
    assert cli("schedules", "run", "cli-late", "--wait").code == 1
    assert cli("schedules", "delete", "cli-late", stdin="n\n").code != 0
    assert cli("schedules", "delete", "cli-late", "--yes", "--json").text == "{}\n"
