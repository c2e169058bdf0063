"""The compose file: parsed strictly as the specification has it, and what it relies on among its own parts."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from polycall.config import Settings, load

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("server-0", "server-1")


def test_it_is_a_compose_file() -> None:
    # its reader knows no merge keys of YAML, so it gets what they come to
    parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(COMPOSE))
    assert sorted(parsed.service_names()) == ["gateway", "postgres", *SERVERS]


@pytest.mark.parametrize("name", SERVICES)
def test_everything_that_a_service_refers_to_is_there(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service.get("networks", ())) <= set(COMPOSE["networks"])
    assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
    for other, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_a_health_check_and_time_to_end(name: str) -> None:
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "stop_grace_period" in service
    assert "no-new-privileges:true" in service["security_opt"]
    if name != "postgres":
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
        drain = _settings(name).drain_grace_s
        assert float(service["stop_grace_period"].rstrip("s")) >= drain + 15


def test_servers_and_gateway_take_their_settings_and_find_each_other(tmp_path: Path) -> None:
    for name in SERVERS:
        settings = _settings(name, tmp_path)
        assert (settings.gateway, settings.database_url) == (False, "postgresql://polycall:x@postgres:5432/polycall")
        assert settings.slots == 8
    port = settings.internal_address.rpartition(":")[2]
    assert _settings("gateway").replicas == ",".join(f"{name}:{port}" for name in SERVERS)
    # the database and the servers' internal address are reached on a network without a way out or in
    assert COMPOSE["networks"]["backend"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["backend"]
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["gateway"]


def test_secrets_are_files_that_nobody_commits() -> None:
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{POLYCALL_SECRETS:-./secrets}}/{name}"}
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert "/deploy/secrets/" in (DEPLOY.parent / ".gitignore").read_text().split()


def test_the_image_is_the_projects_and_the_filter_the_one_beside_it() -> None:
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    for name in ("gateway", *SERVERS):
        assert SERVICES[name]["image"] == f"polycall:{version}"
    for name in SERVERS:
        (profile,) = [option for option in SERVICES[name]["security_opt"] if option.startswith("seccomp=")]
        assert (DEPLOY / profile.removeprefix("seccomp=")).is_file()
        assert SERVICES[name]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}


def test_the_filter_lets_the_sandbox_make_its_walls_and_keeps_the_kernel_to_itself() -> None:
    profile = json.loads((DEPLOY / "seccomp" / "polycall.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    (rule,) = profile["syscalls"]
    refused = set(rule["names"])
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert rule["names"] == sorted(rule["names"])
    needed = {
        "clone",
        "clone3",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "sethostname",
        "seccomp",
        "prctl",
    }
    assert not needed & refused
    never = {"bpf", "init_module", "kexec_load", "keyctl", "open_by_handle_at", "perf_event_open", "ptrace", "reboot"}
    assert never <= refused


def _settings(name: str, secrets: Path | None = None) -> Settings:
    variables: dict[str, str] = dict(SERVICES[name]["environment"])
    for variable in [variable for variable in variables if variable.endswith("_FILE")]:
        if secrets is None:
            del variables[variable]
            continue
        file = secrets / Path(variables[variable]).name
        contents = {
            "database-url": "postgresql://polycall:x@postgres:5432/polycall",
            "encryption-key": "A" * 43 + "=",
            "bootstrap-key": "pc_key",
        }
        file.write_text(contents[file.name] + "\n")
        variables[variable] = str(file)
    return load({}, variables)
