"""polycall gateway: the configuration that `polycall serve` would run Envoy with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.cli.conftest import Cli
from tests.harness import Server


def without_descriptors(document: Any) -> Any:
    """Return a document without the contract itself, which one form has inside and the other names by path."""
    if isinstance(document, dict):
        kept = {k: v for k, v in document.items() if k not in ("proto_descriptor", "proto_descriptor_bin")}
        return {name: without_descriptors(value) for name, value in kept.items()}
    return [without_descriptors(item) for item in document] if isinstance(document, list) else document


def test_the_configuration_is_the_one_that_serve_runs(alone: Cli, polycall: Server) -> None:
    alone.monkeypatch.setenv("POLYCALL_REST_ADDRESS", f"127.0.0.1:{polycall.rest_port}")
    alone.monkeypatch.setenv("POLYCALL_DATA_DIR", str(polycall.data_dir))
    rendered = yaml.safe_load(alone("gateway", "render").text)["static_resources"]
    for kind, file in (("listeners", "lds"), ("clusters", "cds")):
        (place,) = polycall.data_dir.glob(f"run/envoy/xds/{file}.*")
        running = yaml.safe_load(place.read_text())["resources"]
        for resource in running:
            resource.pop("@type")
        assert without_descriptors(rendered[kind]) == without_descriptors(running)


def test_the_configuration_has_the_listeners_of_the_settings(alone: Cli) -> None:
    alone.monkeypatch.setenv("POLYCALL_RIZA_ADDRESS", "127.0.0.1:18081")
    rendered = alone("gateway", "render")
    listeners = yaml.safe_load(rendered.text)["static_resources"]["listeners"]
    ports = [listener["address"]["socket_address"]["port_value"] for listener in listeners]
    assert (rendered.code, ports) == (0, [8080, 18081])


def test_the_configuration_can_be_written_to_a_file(alone: Cli, tmp_path: Path) -> None:
    assert alone("gateway", "render", "--output", str(tmp_path / "envoy.yaml")).code == 0
    assert (tmp_path / "envoy.yaml").read_text() == alone("gateway", "render").text
    refused = alone("gateway", "render", "--output", str(tmp_path / "none" / "envoy.yaml"))
    assert (refused.code, refused.err) == (
        2,
        f"polycall: cannot write {tmp_path / 'none' / 'envoy.yaml'}: No such file or directory.\n",
    )


def test_the_real_envoy_takes_the_configuration(alone: Cli) -> None:
    done = alone("gateway", "validate")
    assert (done.code, done.text) == (0, "Envoy takes the configuration.\n")


def test_an_address_envoy_cannot_have_is_named(alone: Cli) -> None:
    alone.monkeypatch.setenv("POLYCALL_REST_ADDRESS", "some.host:8080")
    refused = alone("gateway", "validate")
    assert refused.code == 2
    assert refused.err.startswith("polycall: rest_address: 'some.host:8080' is not an address")
