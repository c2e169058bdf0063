"""polycall doctor: what is there is tried, what is missing has a remedy, and the exit code says if it is enough."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from polycall.cli.doctor import Finding, Limit, machine_findings
from polycall.config import load
from polycall.domain import IsolationLevel
from tests.cli.conftest import Cli
from tests.harness import Server, free_port


def addresses() -> dict[str, str]:
    return {"POLYCALL_REST_ADDRESS": f"127.0.0.1:{free_port()}", "POLYCALL_GRPC_ADDRESS": f"127.0.0.1:{free_port()}"}


def holds(facts: dict[str, Any]) -> set[str]:
    """Return how far limits hold; that of CPU time is watched where no cgroup counts it."""
    return {limit["hold"] for limit in facts["limits"] if limit["limit"] != "cpu_time"}


def found(feature: str, **environment: str) -> Finding:
    return next(f for f in machine_findings(load(environ=environment)) if f.feature == feature)


def test_the_machine_of_these_tests_reaches_the_floor(alone: Cli) -> None:
    for name, value in addresses().items():
        alone.monkeypatch.setenv(name, value)
    report = alone("doctor", "--json")
    assert report.code == 0
    facts = report.json()
    assert facts["isolation_level"] >= IsolationLevel.NAMESPACED
    assert (facts["floor_reached"], facts["trouble"]) == (True, "")
    assert {f["feature"] for f in facts["findings"] if f["available"]} >= {
        *("namespaces", "seccomp", "python", "deno", "envoy"),
    }
    assert holds(facts) == {"enforced"}
    assert {limit["limit"] for limit in facts["limits"]} >= {"timeout", "cpu_time", "memory_mib", "disk_mib"}


def test_a_machine_below_the_floor_is_told_what_to_do(alone: Cli) -> None:
    async def poor(settings: object) -> object:
        from polycall.cli.doctor import _Report

        finding = Finding(feature="namespaces", available=False, detail="EPERM", remedy="sysctl kernel.userns=1")
        return _Report(level=IsolationLevel.CONFINED, floor=IsolationLevel.NAMESPACED, findings=(finding,))

    alone.monkeypatch.setattr("polycall.cli.doctor._examine", poor)
    report = alone("doctor")
    assert report.code == 1
    assert report.text == (
        "FEATURE     HERE  SEEN\n"
        "namespaces  no    EPERM\n"
        "\nTo get what is missing:\n"
        "  namespaces: sysctl kernel.userns=1\n\n"
    )
    assert report.err == (
        "Isolation L1 (confined) is below the floor L2: untrusted code is refused here. Get what is missing, or,"
        " if all code here is your own, set POLYCALL_ISOLATION_FLOOR=1.\n"
    )


def test_limits_are_listed_with_what_would_better_them(alone: Cli) -> None:
    async def some(settings: object) -> object:
        from polycall.cli.doctor import _Report

        finding = Finding(feature="cgroup", available=False, detail="read-only", remedy="make it writable")
        limits = (
            Limit(limit="memory_mib", hold="watched", how="looked at", remedy="make it writable"),
            Limit(limit="disk_mib", hold="not_enforced", how="no quota", remedy="allow user namespaces"),
            Limit(limit="timeout", hold="enforced", how="a timer"),
        )
        return _Report(
            level=IsolationLevel.NAMESPACED, floor=IsolationLevel.NAMESPACED, findings=(finding,), limits=limits
        )

    alone.monkeypatch.setattr("polycall.cli.doctor._examine", some)
    report = alone("doctor")
    assert report.code == 0
    assert report.text == (
        "FEATURE  HERE  SEEN\n"
        "cgroup   no    read-only\n"
        "\n"
        "LIMIT       HOLDS         BY\n"
        "memory_mib  watched       looked at\n"
        "disk_mib    not enforced  no quota\n"
        "timeout     enforced      a timer\n"
        "\nTo get what is missing:\n"
        "  cgroup: make it writable\n"
        "\nTo have limits hold better:\n"
        "  disk_mib: allow user namespaces\n"
        "\nIsolation L2 (namespaced); untrusted code is run from L2 on.\n"
    )


def test_an_address_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finding = found("rest_address", POLYCALL_REST_ADDRESS=address)
    assert (finding.available, finding.detail) == (False, f"{address}: Address already in use")
    assert finding.remedy == "stop what uses it (a running polycall?), or set POLYCALL_REST_ADDRESS"
    assert found("rest_address", POLYCALL_REST_ADDRESS=address).available


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = found("data directory", POLYCALL_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (finding.available, finding.detail) == (False, f"{tmp_path / 'file'} is not a directory")
    assert found("data directory", POLYCALL_DATA_DIR=str(tmp_path / "new" / "data")).available
    assert not (tmp_path / "new").exists()


def test_without_the_gateway_envoy_is_not_asked_for() -> None:
    features = {f.feature for f in machine_findings(load(environ={"POLYCALL_GATEWAY": "false"}))}
    assert features == {"server processes", "data directory", "grpc_address"}


@pytest.mark.parametrize("arguments", [["--server"], ["--server", "ADDRESS"]])
def test_a_running_server_says_what_it_found(cli: Cli, polycall: Server, arguments: list[str]) -> None:
    report = cli("doctor", *(polycall.grpc if a == "ADDRESS" else a for a in arguments), "--json")
    assert report.code == 0
    facts = report.json()
    assert facts["isolation_level"] == polycall.ready["isolation_level"]
    assert facts["isolation_floor"] == IsolationLevel.NAMESPACED
    assert "namespaces" in {f["feature"] for f in facts["findings"]}
    assert holds(facts) == {"enforced"}
    assert "memory_mib" in {limit["limit"] for limit in facts["limits"]}
