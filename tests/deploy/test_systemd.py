"""The units, verified and rated by systemd's own tool, and their settings taken by polycall."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from polycall.config import load

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
# exposure in tenths, as `systemd-analyze security` rates it; 100 is a unit without any directive
MOST_EXPOSED = {"polycall.service": 35, "polycall-gateway.service": 15}


def directives(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / unit).read_text().splitlines():
        name, is_one, value = line.partition("=")
        if is_one and not line.startswith("#"):
            found[name].append(value)
    return found


@pytest.fixture(params=MOST_EXPOSED)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit, with the program where it is here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed on this machine")
    path = tmp_path / str(request.param)
    program = Path(sys.executable).with_name("polycall")
    path.write_text((UNITS / path.name).read_text().replace("/opt/polycall/bin/polycall", str(program)))
    return path


def test_systemd_understands_every_line(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_systemd_rates_the_exposure_as_it_was_when_it_was_measured(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    threshold = f"--threshold={MOST_EXPOSED[unit.name]}"
    done = subprocess.run([*command, threshold, unit], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-500:]


def test_the_server_has_cgroups_of_its_own_and_nothing_that_breaks_its_sandbox() -> None:
    found = directives("polycall.service")
    assert found["Delegate"] == ["cpu memory pids"]
    broken = {
        "RestrictNamespaces",
        "MemoryDenyWriteExecute",
        "ProtectControlGroups",
        "ProtectKernelTunables",
        "ProtectKernelLogs",
        "ProtectProc",
        "ProcSubset",
        "PrivateUsers",
    }
    assert broken & found.keys() == set()
    (calls,) = found["SystemCallFilter"]
    assert calls.startswith("~")
    assert not {"@mount", "@sandbox", "@system-service", "@privileged"} & set(calls.lstrip("~").split())


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_the_main_process_is_told_and_has_the_time_that_its_drain_takes(name: str) -> None:
    found = directives(name)
    assert found["KillMode"] == ["mixed"]  # a signal to all processes would end Envoy and its requests at once
    drain = load({}, {}, UNITS / "polycall.toml").drain_grace_s
    left = float(found["TimeoutStopSec"][0]) - drain
    assert left >= (20 if name == "polycall.service" else 10)
    assert found["RestartPreventExitStatus"] == ["2"]


def test_the_settings_beside_the_unit_are_settings() -> None:
    settings = load({}, {}, UNITS / "polycall.toml")
    assert (settings.isolation_floor, settings.metrics_address) == (2, "127.0.0.1:9464")
