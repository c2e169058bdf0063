"""Help renders for every command, and costs no import that only a command needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from polycall import __version__
from polycall.cli import cli as root
from tests.cli.conftest import Cli


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


@pytest.mark.parametrize("path", list(commands(root)), ids=" ".join)
def test_every_command_explains_itself(alone: Cli, path: tuple[str, ...]) -> None:
    shown = alone(*path, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.text.startswith(f"Usage: {' '.join(('polycall', *path))} ")


def test_there_is_a_command_for_everything_that_was_promised() -> None:
    assert set(commands(root)) >= {
        ("serve",),
        ("deploy",),
        ("run",),
        ("call",),
        *(("executions", verb) for verb in ("list", "get", "logs", "cancel", "wait")),
        *(("packages", verb) for verb in ("list", "get", "versions", "source", "release", "delete")),
        *(("keys", verb) for verb in ("create", "list", "revoke")),
        *(("projects", verb) for verb in ("create", "list")),
        *(("schedules", verb) for verb in ("create", "list", "get", "update", "pause", "resume", "run", "delete")),
        *(("runtimes", verb) for verb in ("build", "list", "get", "revisions", "log", "delete")),
        ("doctor",),
        ("health",),
        ("gateway", "render"),
        ("gateway", "validate"),
        ("config", "show"),
        ("version",),
    }


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["deploy", "--help"], ["executions", "list", "--help"]]
)
def test_help_does_not_wait_for_grpc(arguments: list[str]) -> None:
    heavy = {"grpc", "google.protobuf", "polycall.app", "yaml"}
    if arguments == ["--help"]:  # what speaks of values of the domain needs their structs, some 20 ms
        heavy.add("msgspec")
    program = (
        "import sys; from polycall.cli import main; code = main(sys.argv[1:]);"
        f"found = {heavy} & set(sys.modules);"
        "sys.exit(code or ' '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_command_is_a_usage_error(alone: Cli) -> None:
    refused = alone("fly")
    assert refused.code == 2
    assert "No such command 'fly'" in refused.err


def test_the_version_is_the_packages(alone: Cli) -> None:
    assert alone("version", "--json").json()["polycall"] == __version__
    assert alone("version").text.startswith("polycall      0.")
    assert alone("--version").text == f"polycall, version {__version__}\n"


def test_a_bug_shows_no_traceback(alone: Cli) -> None:
    alone.monkeypatch.setattr("polycall.cli.version.version", lambda part: 1 / 0)
    shown = alone("version")
    assert shown.code == 3
    assert shown.err == (
        "polycall: a bug in polycall: ZeroDivisionError: division by zero. "
        "`python -X dev -m polycall.cli ...` shows where.\n"
    )
