"""polycall runtimes: packages for code to run with, built from PyPI."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli

CODE = "import colorama\ndef execute(input): return colorama.__version__\n"


def test_a_runtime_is_built_seen_used_and_deleted(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("colorama==0.4.6\n")
    built = cli("runtimes", "build", "cli-color", str(tmp_path / "requirements.txt"), "--display-name", "Color")
    assert built.code == 0, built.err
    assert "+ colorama==0.4.6" in built.err  # the log, while it is written
    facts = dict(line.split(None, 1) for line in built.text.splitlines())
    assert facts["revision"].startswith("runtimes/cli-color/revisions/")
    assert (facts["state"], facts["preloaded"], facts["manifest"]) == ("READY", "colorama", "colorama==0.4.6")

    ran = cli("run", "-", "--runtime", "cli-color", stdin=CODE)
    assert (ran.code, ran.text) == (0, '"0.4.6"\n')
    (tmp_path / "uses.py").write_text("import colorama\ndef version(): return colorama.__version__\n")
    deployed = cli("deploy", str(tmp_path / "uses.py"), "--package", "cli-uses", "--runtime", "cli-color", "--json")
    assert deployed.json()["runtime"] == facts["revision"]
    assert cli("run", "packages/cli-uses/functions/version").text == '"0.4.6"\n'

    second = cli("runtimes", "build", "cli-color", "-", "--import", "json", "--json", stdin="colorama==0.4.6").json()
    assert (second["state"], second["preloaded"]) == ("STATE_READY", ["json", "colorama"])
    listed = cli("runtimes", "list").text.splitlines()
    assert any(line.split()[:3] == ["cli-color", "python", "READY"] and line.endswith("Color") for line in listed)
    revisions = cli("runtimes", "revisions", "cli-color", "--json").json()["revisions"]
    assert [r["name"] for r in revisions] == [second["name"], facts["revision"]]
    first = facts["revision"].rpartition("/")[2]
    assert "Preloaded: colorama." in cli("runtimes", "log", "cli-color", "--revision", first).text
    assert cli("runtimes", "get", "cli-color", "--json").json()["name"] == second["name"]

    kept = cli("runtimes", "delete", "cli-color", "--yes")
    assert kept.code == 2
    assert "is used by packages/cli-uses/versions/1" in kept.err
    assert cli("runtimes", "delete", "cli-color", "--yes", "--force").text == "runtimes/cli-color is deleted.\n"
    gone = cli("runtimes", "get", "cli-color")
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
