"""The configuration as documents: bootstrap, listeners and clusters for Envoy, and one text for readers.

Envoy gets JSON: it takes half the time to start of YAML, and no reader of YAML takes a string such as ``y`` or ``1e5``
for something else. Readers get YAML.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polycall_gateway.clusters import servers_cluster
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import DESCRIPTORS, Contract
from polycall_gateway.envoytypes import extension, typed
from polycall_gateway.listeners import listeners

__all__ = ["Rendered", "render", "render_static"]

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Three documents; Envoy reads the first at start and watches the others."""

    bootstrap: Document
    lds: Document
    cds: Document

    @property
    def versions(self) -> tuple[str, str]:
        """Return what Envoy reports of its listeners and clusters once it runs these."""
        return str(self.lds["version_info"]), str(self.cds["version_info"])

    def write(self, directory: Path) -> Path:
        """Write the documents and return the path of the bootstrap.

        A file is replaced by rename: that is what Envoy watches for, and it never reads half a file.
        """
        watched = directory / "xds"
        watched.mkdir(mode=0o700, exist_ok=True)
        # Clusters first: a listener must not name one that Envoy does not have.
        _replace(watched / "cds.json", self.cds)
        _replace(watched / "lds.json", self.lds)
        return _replace(directory / "bootstrap.json", self.bootstrap)


def render(config: GatewayConfig, contract: Contract | None = None) -> Rendered:
    """Render what Envoy runs on. The descriptor set is in it: the listeners' file is the whole truth.

    Raises:
        InvalidConfig: a setting or a binding that cannot be.
    """
    contract = contract or Contract.load()
    source = {"proto_descriptor_bin": base64.b64encode(contract.descriptors).decode("ascii")}
    watched = config.directory / "xds"
    return Rendered(
        bootstrap=_bootstrap(config)
        | {
            "dynamic_resources": {
                "lds_config": _watch(watched, "lds.json"),
                "cds_config": _watch(watched, "cds.json"),
            }
        },
        lds=_resources("config.listener.v3.Listener", listeners(contract, config, source)),
        cds=_resources("config.cluster.v3.Cluster", [servers_cluster(config)]),
    )


def render_static(config: GatewayConfig, contract: Contract | None = None, descriptors: Path = DESCRIPTORS) -> str:
    """Render one document with everything in it but the descriptor set, which it names by path."""
    from polycall_gateway.readable import dump  # YAML is for readers: a start spares its library

    contract = contract or Contract.load()
    resources = {
        "listeners": listeners(contract, config, {"proto_descriptor": str(descriptors)}),
        "clusters": [servers_cluster(config)],
    }
    return dump(_bootstrap(config) | {"static_resources": resources})


def _bootstrap(config: GatewayConfig) -> Document:
    heap = typed(
        "envoy.resource_monitors.fixed_heap",
        "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        max_heap_size_bytes=config.max_heap_bytes,
    )
    connections = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=config.max_connections,
    )
    return {
        # Without a node an on-demand fetch aborts the process, although validation passes.
        "node": {"id": "gateway", "cluster": "polycall"},
        "admin": {
            "address": {"pipe": {"path": str(config.admin_socket), "mode": 0o600}},
            "ignore_global_conn_limit": True,
        },
        # A connection is closed where half of 500 streams were reset before they had an answer, within so many whole
        # seconds: an attack resets at once, a caller's deadline of a second is none.
        "layered_runtime": {
            "layers": [
                {"name": "polycall", "static_layer": {"overload.premature_reset_min_stream_lifetime_seconds": 0}}
            ]
        },
        "overload_manager": {
            "refresh_interval": "0.25s",
            "resource_monitors": [heap, connections],
            "actions": [
                _at_heap("envoy.overload_actions.shrink_heap", 0.90),
                _at_heap("envoy.overload_actions.stop_accepting_requests", 0.95),
            ],
            # Bodies are held whole until all of them has arrived, so requests that were accepted go on growing: at the
            # limit the connections on which more arrives are closed, whatever else runs on them.
            "loadshed_points": [
                _at_heap("envoy.load_shed_points.http1_server_abort_dispatch", 1.0),
                _at_heap("envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch", 1.0),
            ],
        },
    }


def _at_heap(action: str, share: float) -> Document:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}
    return {"name": action, "triggers": [trigger]}


def _watch(directory: Path, name: str) -> Document:
    source = {"path": str(directory / name), "watched_directory": {"path": str(directory)}}
    return {"path_config_source": source, "resource_api_version": "V3"}


def _resources(message: str, resources: list[Document]) -> Document:
    typed_resources = [extension(message, **resource) for resource in resources]
    digest = hashlib.sha256(json.dumps(typed_resources).encode()).hexdigest()
    return {"version_info": digest[:16], "resources": typed_resources}


def _replace(path: Path, document: Document) -> Path:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document), "utf-8")
    os.replace(fresh, path)
    return path
