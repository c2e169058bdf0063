"""Listeners: REST with the faces and the native API as JSON, one for a single face, and gRPC for a mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from polycall_gateway.access_log import access_log
from polycall_gateway.address import Address
from polycall_gateway.clusters import SERVERS
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import NATIVE, Contract
from polycall_gateway.envoytypes import typed
from polycall_gateway.errors import InvalidConfig
from polycall_gateway.filters import (
    INTERNAL,
    INTERNAL_MESH,
    INTERNAL_REST,
    DescriptorSource,
    Matcher,
    body_limit,
    compressor,
    health,
    lua,
    native_words,
    rate_limit,
    router,
    strip,
    transcoders,
)
from polycall_gateway.replies import face_replies, mesh_replies
from polycall_gateway.routes import FUNCTION, UNRUN, rest_routes, retry_policy, seconds, territory
from polycall_gateway.vendors import ANYONE, VENDORS

__all__ = ["listeners"]

# Streams of one connection. A browser or an SDK needs few; a mesh puts everything onto one.
_REST_STREAMS = 100
_MESH_STREAMS = 1024

# Callers on such a connection that have no more time reset their streams: in overload as many a second as there are
# streams. HTTP/2's library takes more than 33 a second for an attack, and closes the connection with all that runs on
# it; what it is to be kept from sends hundreds of thousands (CVE-2023-44487).
_MESH_RESETS = {"stream_reset_burst": 4 * _MESH_STREAMS, "stream_reset_rate": _MESH_STREAMS}

# A client that vanishes without a word, as when its machine is gone, is noticed within 80 s, and what runs for it is
# ended. The server does the same for those that speak gRPC to it, by pings.
_KEEPALIVE = {"keepalive_time": 60, "keepalive_interval": 10, "keepalive_probes": 2}

# Served by every gRPC server beside its contract: health, and reflection of both ages.
_GRPC_OWN = (
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
)


def listeners(contract: Contract, config: GatewayConfig, source: DescriptorSource) -> list[dict[str, Any]]:
    """Return the listeners that ``config`` has addresses for.

    Raises:
        InvalidConfig: a face that is in the contract or in the settings is not known here or there.
    """
    for face in contract.faces:
        if face not in VENDORS:
            raise InvalidConfig(f"the face {face} has no words yet for what Envoy answers: add it to vendors.py")
    for face in config.face_addresses:
        if face not in contract.faces:
            raise InvalidConfig(f"{face}_address: there is no face {face}; there are {', '.join(contract.faces)}")
    made = []
    for name, address in config.addresses():
        if name == "rest":
            made.append(_rest(contract, config, source, address, (*contract.faces, NATIVE), ANYONE))
        elif name == "mesh":
            made.append(_mesh(contract, config, address))
        else:
            made.append(_rest(contract, config, source, address, (name,), name))
    return made


def _rest(
    contract: Contract,
    config: GatewayConfig,
    source: DescriptorSource,
    address: Address,
    faces: tuple[str, ...],
    fallback: str,
) -> dict[str, Any]:
    bindings = [binding for binding in contract.bindings if binding.face in faces]
    claims = {face: VENDORS[face].territory for face in faces}
    if fallback != ANYONE:
        claims[fallback] = ("",)
    name = "rest" if fallback == ANYONE else fallback
    filters = [
        lua(territory(bindings, claims), faces),
        *([native_words()] if NATIVE in faces else []),
        health(),
        *rate_limit(config),
        *compressor(config),
        body_limit(config),
        *transcoders(contract, config, source, faces),
        router(),
    ]
    manager = {
        "http_filters": filters,
        "local_reply_config": face_replies(faces, fallback),
        "route_config": _route_config(rest_routes(bindings, config), config),
        "request_timeout": seconds(config.max_upload_s),
    }
    return _listener(name, address, config, manager, INTERNAL_REST, _REST_STREAMS)


def _mesh(contract: Contract, config: GatewayConfig, address: Address) -> dict[str, Any]:
    # Only what is named is open: the faces' services trust their headers.
    route: dict[str, Any] = {
        "cluster": SERVERS,
        "timeout": "0s",
        "idle_timeout": seconds(config.unary_s),
        "max_stream_duration": {"grpc_timeout_header_max": "0s"},
    }
    if config.replicas:
        route["hash_policy"] = [{"header": {"header_name": FUNCTION}}]
    open_to_all = (*(f"/{service}/" for service in contract.services[NATIVE]), *_GRPC_OWN)
    # Not `grpc: {}`: gRPC-Web is not yet gRPC when the route is chosen.
    routes = [{"match": {"prefix": prefix}, "route": route} for prefix in open_to_all]
    filters = [
        health(),
        typed("grpc_web", "extensions.filters.http.grpc_web.v3.GrpcWeb"),
        typed("grpc_stats", "extensions.filters.http.grpc_stats.v3.FilterConfig", stats_for_all_methods=False),
        *rate_limit(config),
        router(),
    ]
    manager = {
        "http_filters": filters,
        "local_reply_config": mesh_replies(),
        "route_config": _route_config(
            [*routes, {"match": {"prefix": "/"}, "direct_response": {"status": 404}}], config
        ),
    }
    internal = INTERNAL_MESH if config.replicas else INTERNAL
    return _listener("mesh", address, config, manager, internal, _MESH_STREAMS, _MESH_RESETS)


def _listener(
    name: str,
    address: Address,
    config: GatewayConfig,
    manager: dict[str, Any],
    internal: Iterable[Matcher],
    streams: int,
    resets: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    protocol = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": name,
        **_address(address),
        "per_connection_buffer_limit_bytes": 1 << 20,
        # A second polycall must be refused by the kernel, not share the port; connections are dealt out instead.
        "enable_reuse_port": False,
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [
            {
                "filters": [
                    typed(
                        "http",
                        protocol,
                        stat_prefix=name,
                        server_name="polycall",
                        use_remote_address=True,
                        xff_num_trusted_hops=config.trusted_hops,
                        always_set_request_id_in_response=True,
                        normalize_path=True,
                        merge_slashes=True,
                        # Ids may contain %2F.
                        path_with_escaped_slashes_action="KEEP_UNCHANGED",
                        request_headers_timeout="10s",
                        stream_idle_timeout="120s",
                        max_request_headers_kb=config.max_headers_kib,
                        common_http_protocol_options={
                            "idle_timeout": "300s",
                            "max_headers_count": config.max_headers,
                            "headers_with_underscores_action": "REJECT_REQUEST",
                        },
                        http2_protocol_options={
                            "max_concurrent_streams": streams,
                            "initial_stream_window_size": 1 << 16,
                            "initial_connection_window_size": 1 << 20,
                            **resets,
                        },
                        early_header_mutation_extensions=[strip(internal)],
                        access_log=access_log(config),
                        **manager,
                    )
                ]
            }
        ],
    }


def _address(address: Address) -> dict[str, Any]:
    if address.path is not None:
        return {"address": {"pipe": {"path": str(address.path), "mode": 0o600}}}
    place = {"socket_address": {"address": address.host, "port_value": address.port}}
    return {"address": place, "tcp_keepalive": _KEEPALIVE}


def _route_config(routes: list[dict[str, Any]], config: GatewayConfig) -> dict[str, Any]:
    host = {
        "name": "all",
        "domains": ["*"],
        "retry_policy": retry_policy(config),
        "response_headers_to_remove": [UNRUN],
        "routes": routes,
    }
    return {"virtual_hosts": [host]}
