"""Listeners: REST with the faces and the native API as JSON, one for a single face, and gRPC for a mesh."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polycall_gateway.clusters import SERVERS
from polycall_gateway.config import Address, GatewayConfig
from polycall_gateway.descriptors import NATIVE, Contract
from polycall_gateway.envoytypes import typed
from polycall_gateway.errors import InvalidConfig
from polycall_gateway.lua import face_lua
from polycall_gateway.replies import face_replies, mesh_replies
from polycall_gateway.routes import RETRY, rest_routes, seconds, territory
from polycall_gateway.vendors import ANYONE, HEALTH, VENDORS

__all__ = ["DescriptorSource", "listeners"]

# How the transcoder gets the descriptor set: {"proto_descriptor_bin": …} or {"proto_descriptor": path}.
DescriptorSource = dict[str, str]

# A StringMatcher of a header's name.
Matcher = dict[str, Any]

# Streams of one connection. A browser or an SDK needs few; a mesh puts everything onto one.
_REST_STREAMS = 100
_MESH_STREAMS = 1024

# Nobody outside may say these. grpc-timeout would be obeyed by the server, grpc-encoding believed by the transcoder,
# x-envoy-* by the router. gRPC refuses the whole request for a name with a character that only HTTP allows, and for a
# header that ends in -bin and is not base64.
_INTERNAL: tuple[Matcher, ...] = ({"exact": "x-http-status"}, {"prefix": "x-polycall-"}, {"prefix": "x-envoy-"})
_INTERNAL_REST: tuple[Matcher, ...] = (
    *_INTERNAL,
    {"prefix": "grpc-"},
    {"suffix": "-bin"},
    {"safe_regex": {"regex": ".*[^:0-9a-z_.-].*"}},
)

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
    claims = {face: VENDORS[face].territory for face in (*faces, HEALTH)}
    if fallback != ANYONE:
        claims[fallback] = ("",)
    name = "rest" if fallback == ANYONE else fallback
    filters = [
        typed(
            "lua",
            "extensions.filters.http.lua.v3.Lua",
            default_source_code={"inline_string": face_lua(territory(bindings, claims), faces)},
        ),
        typed(
            "health",
            "extensions.filters.http.health_check.v3.HealthCheck",
            pass_through_mode=False,
            cluster_min_healthy_percentages={SERVERS: {"value": 1}},
            headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
        ),
        *_rate_limit(config),
        *_compressor(config),
        *_transcoders(contract, config, source, faces),
        _router(),
    ]
    manager = {
        "http_filters": filters,
        "local_reply_config": face_replies(faces, fallback),
        "route_config": _route_config(rest_routes(bindings, config)),
        "request_timeout": seconds(config.max_upload_s),
    }
    return _listener(name, address, config, manager, _INTERNAL_REST, _REST_STREAMS)


def _mesh(contract: Contract, config: GatewayConfig, address: Address) -> dict[str, Any]:
    # Only what is named is open: the faces' services trust their headers.
    route = {
        "cluster": SERVERS,
        "timeout": "0s",
        "idle_timeout": seconds(config.unary_s),
        "max_stream_duration": {"grpc_timeout_header_max": "0s"},
    }
    open_to_all = (*(f"/{service}/" for service in contract.services[NATIVE]), *_GRPC_OWN)
    # Not `grpc: {}`: gRPC-Web is not yet gRPC when the route is chosen.
    routes = [{"match": {"prefix": prefix}, "route": route} for prefix in open_to_all]
    filters = [
        typed("grpc_web", "extensions.filters.http.grpc_web.v3.GrpcWeb"),
        typed("grpc_stats", "extensions.filters.http.grpc_stats.v3.FilterConfig", stats_for_all_methods=False),
        *_rate_limit(config),
        _router(),
    ]
    manager = {
        "http_filters": filters,
        "local_reply_config": mesh_replies(),
        "route_config": _route_config([*routes, {"match": {"prefix": "/"}, "direct_response": {"status": 404}}]),
    }
    return _listener("mesh", address, config, manager, _INTERNAL, _MESH_STREAMS)


def _listener(
    name: str,
    address: Address,
    config: GatewayConfig,
    manager: dict[str, Any],
    strip: Iterable[Matcher],
    streams: int,
) -> dict[str, Any]:
    protocol = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": name,
        "address": _address(address),
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
                        },
                        early_header_mutation_extensions=[_strip(strip)],
                        access_log=_access_log(config),
                        **manager,
                    )
                ]
            }
        ],
    }


def _address(address: Address) -> dict[str, Any]:
    if address.path is not None:
        return {"pipe": {"path": str(address.path), "mode": 0o600}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _strip(headers: Iterable[Matcher]) -> dict[str, Any]:
    mutations = [{"remove_on_match": {"key_matcher": header}} for header in headers]
    return typed(
        "strip", "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", mutations=mutations
    )


def _rate_limit(config: GatewayConfig) -> list[dict[str, Any]]:
    rate = config.requests_per_second
    if not rate:
        return []
    always = {"default_value": {"numerator": 100}}
    return [
        typed(
            "rate_limit",
            "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            stat_prefix="edge",
            token_bucket={"max_tokens": 2 * rate, "tokens_per_fill": rate, "fill_interval": "1s"},
            filter_enabled=always,
            filter_enforced=always,
        )
    ]


def _compressor(config: GatewayConfig) -> list[dict[str, Any]]:
    if not config.compress:
        return []
    gzip = typed("gzip", "extensions.compression.gzip.compressor.v3.Gzip", compression_level="BEST_SPEED")
    json = {"min_content_length": 1024, "content_type_matcher": [{"prefix": "application/json"}]}
    return [
        typed(
            "compressor",
            "extensions.filters.http.compressor.v3.Compressor",
            compressor_library=gzip,
            response_direction_config={"common_config": json},
        )
    ]


def _transcoders(
    contract: Contract, config: GatewayConfig, source: DescriptorSource, faces: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return one transcoder for the faces and one for the native API.

    They share nothing: a custom verb of the native API, such as ":run", would be taken off a face's ids as well.
    """
    message = "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
    common = {
        **source,
        "match_incoming_request_route": True,
        "url_unescape_spec": "ALL_CHARACTERS",
        "max_request_body_size": config.max_body_bytes,
        "max_response_body_size": config.max_body_bytes,
    }
    made = []
    services = [service for face in faces if face != NATIVE for service in contract.services[face]]
    if services:
        made.append(typed("faces", message, services=services, **common))
    if NATIVE in faces:
        made.append(
            typed(
                "native",
                message,
                services=list(contract.services[NATIVE]),
                convert_grpc_status=True,
                print_options={"stream_newline_delimited": True},
                request_validation_options={
                    "reject_unknown_query_parameters": True,
                    "reject_binding_body_field_collisions": True,
                },
                **common,
            )
        )
    return made


def _router() -> dict[str, Any]:
    return typed("router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)


def _route_config(routes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "retry_policy": dict(RETRY), "routes": routes}]}


# No query: what a face's contract keeps secret in a URL stands there, and the route says what was asked for.
_ACCESS_LOG = {
    "time": "%START_TIME%",
    "face": "%REQ(X-POLYCALL-FACE)%",
    "route": "%ROUTE_NAME%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%PATH(NQ:ORIG)%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS(SNAKE_STRING)%",
    "flags": "%RESPONSE_FLAGS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "ms": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "id": "%REQ(X-REQUEST-ID)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}
_STREAMS = {
    "/dev/stdout": "extensions.access_loggers.stream.v3.StdoutAccessLog",
    "/dev/stderr": "extensions.access_loggers.stream.v3.StderrAccessLog",
}


def _access_log(config: GatewayConfig) -> list[dict[str, Any]]:
    if not config.access_log:
        return []
    fields: dict[str, Any] = {"log_format": {"json_format": dict(_ACCESS_LOG)}}
    stream = _STREAMS.get(config.access_log)
    if stream is None:
        return [typed("file", "extensions.access_loggers.file.v3.FileAccessLog", path=config.access_log, **fields)]
    return [typed("stream", stream, **fields)]
