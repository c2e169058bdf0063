"""Where the client goes and which key it sends; the bootstrap key never leaves this machine by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.harness import Server, free_port


def keep_key(alone: Cli, directory: Path, key: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bootstrap.key").write_text(f"{key}\n")
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(directory))


def test_nobody_there_is_unreachable_and_says_how_to_start_it(alone: Cli) -> None:
    address = f"127.0.0.1:{free_port()}"
    failed = alone("packages", "list", "--server", address, "--key", "k")
    assert (failed.code, failed.out) == (3, b"")
    assert failed.err == (
        f"polycall: cannot reach polycall at {address} (Connection refused). Start it with `polycall serve`,"
        " or name another server with --server or POLYCALL_SERVER.\n"
    )


def test_without_any_key_the_command_is_denied(alone: Cli) -> None:
    failed = alone("packages", "list")
    assert failed.code == 4
    assert failed.err.startswith("polycall: no API key (")
    assert "Give one with --key or POLYCALL_API_KEY" in failed.err


def test_the_bootstrap_key_of_this_machine_is_found(alone: Cli, polycall: Server, tmp_path: Path) -> None:
    keep_key(alone, tmp_path / "data", polycall.key)
    assert alone("packages", "list", "--server", polycall.grpc).code == 0


def test_the_settings_of_the_server_say_where_it_is(alone: Cli, polycall: Server, tmp_path: Path) -> None:
    keep_key(alone, tmp_path / "data", polycall.key)
    alone.monkeypatch.setenv("POLYCALL_GRPC_ADDRESS", polycall.grpc)
    assert alone("packages", "list").code == 0


@pytest.mark.parametrize("address", ["polycall.example:50051", "192.0.2.1:50051", "127.evil.example:1"])
def test_the_bootstrap_key_is_never_sent_to_another_machine(alone: Cli, tmp_path: Path, address: str) -> None:
    keep_key(alone, tmp_path / "data", "secret")
    failed = alone("packages", "list", "--server", address)
    assert failed.code == 4
    assert failed.err == f"polycall: no API key for {address}: give one with --key or POLYCALL_API_KEY.\n"


def test_a_bad_key_is_denied(cli: Cli) -> None:
    failed = cli("packages", "list", "--key", "not-a-key")
    assert failed.code == 4
    assert "--key" in failed.err


@pytest.mark.parametrize("key", ["two\nlines", "clé"])
def test_a_key_that_no_header_carries_is_denied_before_anything_is_sent(alone: Cli, key: str) -> None:
    failed = alone("packages", "list", "--server", "127.0.0.1:1", "--key", key)
    assert (failed.code, failed.err) == (
        4,
        "polycall: the API key has a character that no key has, such as a line break. Give another one with --key or"
        " POLYCALL_API_KEY.\n",
    )


def test_a_key_without_the_scope_is_denied(cli: Cli, polycall: Server) -> None:
    failed = cli("projects", "list", "--key", polycall.new_key())
    assert failed.code == 4
    assert "operator" in failed.err


def test_a_proxy_in_the_environment_does_not_take_loopback(cli: Cli) -> None:
    cli.monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert cli("packages", "list").code == 0


def test_the_rest_address_is_told_apart(cli: Cli, polycall: Server) -> None:
    failed = cli("packages", "list", "--server", f"127.0.0.1:{polycall.rest_port}")
    assert failed.code == 3
    assert "gRPC address" in failed.err


@pytest.mark.parametrize("command", ["config show", "--help", "version --json"])
@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_output_that_nobody_reads_is_no_error(command: str, reader: str) -> None:
    command = f"{sys.executable} -m polycall.cli {command} | {reader}"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
