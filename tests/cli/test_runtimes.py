"""polycall runtimes: packages for code to run with, built from PyPI."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli

CODE = "import six\ndef execute(input): return six.__version__\n"


def test_a_runtime_is_built_seen_used_and_deleted(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    built = cli("runtimes", "build", "cli-six", str(tmp_path / "requirements.txt"), "--display-name", "Six")
    assert built.code == 0, built.err
    assert "+ six==1.17.0" in built.err  # the log, while it is written
    facts = dict(line.split(None, 1) for line in built.text.splitlines())
    assert facts["revision"].startswith("runtimes/cli-six/revisions/")
    assert (facts["state"], facts["preloaded"], facts["manifest"]) == ("READY", "six", "six==1.17.0")

    ran = cli("run", "-", "--runtime", "cli-six", stdin=CODE)
    assert (ran.code, ran.text) == (0, '"1.17.0"\n')
    (tmp_path / "uses.py").write_text("import six\ndef version(): return six.__version__\n")
    deployed = cli("deploy", str(tmp_path / "uses.py"), "--package", "cli-uses", "--runtime", "cli-six", "--json")
    assert deployed.json()["runtime"] == facts["revision"]
    assert cli("run", "packages/cli-uses/functions/version").text == '"1.17.0"\n'

    second = cli("runtimes", "build", "cli-six", "-", "--import", "json", "--json", stdin="six==1.17.0").json()
    assert (second["state"], second["preloaded"]) == ("STATE_READY", ["json", "six"])
    listed = cli("runtimes", "list").text.splitlines()
    assert any(line.split()[:3] == ["cli-six", "python", "READY"] and line.endswith("Six") for line in listed)
    revisions = cli("runtimes", "revisions", "cli-six", "--json").json()["revisions"]
    assert [r["name"] for r in revisions] == [second["name"], facts["revision"]]
    first = facts["revision"].rpartition("/")[2]
    assert "Preloaded: six." in cli("runtimes", "log", "cli-six", "--revision", first).text
    assert cli("runtimes", "get", "cli-six", "--json").json()["name"] == second["name"]

    kept = cli("runtimes", "delete", "cli-six", "--yes")
    assert kept.code == 2
    assert "is used by packages/cli-uses/versions/1" in kept.err
    assert cli("runtimes", "delete", "cli-six", "--yes", "--force").text == "runtimes/cli-six is deleted.\n"
    gone = cli("runtimes", "get", "cli-six")
    assert gone.code == 2
    assert "`polycall runtimes list` shows what there is." in gone.err


def test_a_build_that_fails_is_a_failure_of_the_command(cli: Cli) -> None:
    failed = cli("runtimes", "build", "cli-failing", "-", stdin="six<0")
    assert failed.code == 1
    assert "could not be built: uv ended with status 1" in failed.err
    assert "No solution found" in failed.err
    assert "FAILED" in failed.text


def test_a_wrong_manifest_is_told_by_its_line(cli: Cli) -> None:
    wrong = cli("runtimes", "build", "cli-wrong", "-", stdin="six\n-r other.txt\n")
    assert wrong.code == 2
    assert "line 2: options are not allowed, the registry is the operator's" in wrong.err
