"""Settings: every one is a flag; flag over environment over file; what is unknown is an error."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import pytest

from polycall.cli.serve import serve_command
from polycall.cli.settings import show_command
from polycall.config import Settings
from tests.cli.conftest import Cli


@pytest.mark.parametrize("command", [serve_command, show_command])
def test_every_setting_is_a_flag(command: click.Command) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert {f"--{item.name.replace('_', '-')}" for item in fields(Settings)} <= options


def test_every_setting_is_shown_with_where_it_comes_from(alone: Cli, tmp_path: Path) -> None:
    file = tmp_path / "polycall.toml"
    file.write_text('rest_address = "127.0.0.1:1"\nqueue = 1\nslots = 1\n')
    alone.monkeypatch.setenv("POLYCALL_QUEUE", "2")
    alone.monkeypatch.setenv("POLYCALL_SLOTS", "2")
    shown = alone("config", "show", "--config", str(file), "--slots", "3", "--no-gateway")
    rows = {line.split()[0]: line.split()[1:] for line in shown.text.splitlines()[1:]}
    assert shown.code == 0
    assert set(rows) == {item.name for item in fields(Settings)}
    assert rows["slots"] == ["3", "flag"]
    assert rows["gateway"] == ["False", "flag"]
    assert rows["queue"] == ["2", "environment"]
    assert rows["rest_address"] == ["127.0.0.1:1", str(file)]
    assert rows["grpc_address"] == ["127.0.0.1:50051", "default"]


def test_settings_are_machine_readable_and_secrets_are_not_shown(alone: Cli) -> None:
    alone.monkeypatch.setenv("POLYCALL_BOOTSTRAP_KEY", "top-secret")
    shown = alone("config", "show", "--json")
    assert shown.json()["bootstrap_key"] == "***"
    assert b"top-secret" not in shown.out


@pytest.mark.parametrize(
    "command", [["config", "show"], ["serve"], ["doctor"], ["gateway", "render"], ["packages", "list"]]
)
def test_an_unknown_setting_in_the_environment_is_an_error(alone: Cli, command: list[str]) -> None:
    alone.monkeypatch.setenv("POLYCALL_REST_ADRESS", "127.0.0.1:1")
    refused = alone(*command)
    assert (refused.code, refused.out) == (2, b"")
    assert refused.err == (
        "polycall: environment variable POLYCALL_REST_ADRESS is not a setting of polycall; "
        "`polycall config show` lists them all.\n"
    )


def test_an_unknown_setting_in_the_file_is_an_error(alone: Cli, tmp_path: Path) -> None:
    file = tmp_path / "polycall.toml"
    file.write_text("slot = 1")
    refused = alone("serve", "--config", str(file))
    assert refused.code == 2
    assert refused.err.startswith(f"polycall: {file}: slot is not a setting of polycall")


def test_an_unknown_flag_is_an_error(alone: Cli) -> None:
    refused = alone("serve", "--slot", "1")
    assert refused.code == 2
    assert "No such option" in refused.err


def test_a_value_that_cannot_be_is_named_with_its_flag(alone: Cli) -> None:
    refused = alone("serve", "--slots", "many")
    assert (refused.code, refused.err) == (2, "polycall: --slots must be a whole number from 1 to 4096.\n")
