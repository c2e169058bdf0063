"""`gateway/envoy.yaml`, for readers and for a mesh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from polycall_gateway import find_envoy
from polycall_gateway.__main__ import COMMITTED, main


def test_it_is_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--check"]) == 0, capsys.readouterr().err


def test_a_stale_one_is_told_with_what_to_do(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = short_path / "envoy.yaml"
    assert main(["render", "--check", "--output", str(path)]) == 1
    assert main(["render", "--output", str(path)]) == 0
    assert main(["render", "--check", "--output", str(path)]) == 0
    path.write_text(path.read_text() + "# changed\n")
    assert main(["render", "--check", "--output", str(path)]) == 1
    assert capsys.readouterr().err.endswith("is stale: run `python -m polycall_gateway render`\n")


def test_envoy_takes_it_as_it_stands() -> None:
    command = [str(find_envoy()), "--mode", "validate", "--log-level", "error", "--config-path", COMMITTED.name]
    done = subprocess.run(command, cwd=COMMITTED.parent, capture_output=True, text=True, env={}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_validate_takes_the_defaults() -> None:
    assert main(["validate"]) == 0


def test_it_names_no_path_of_this_machine() -> None:
    assert os.fspath(COMMITTED.parent) not in COMMITTED.read_text()


def test_it_says_how_a_face_and_the_native_api_are_reached() -> None:
    listeners = yaml.safe_load(COMMITTED.read_text())["static_resources"]["listeners"]
    ports = {one["name"]: one["address"]["socket_address"]["port_value"] for one in listeners}
    assert ports == {"rest": 8080, "mesh": 50052}
