"""HTTP filters, in the order in which a request meets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from polycall_gateway.clusters import SERVERS
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import NATIVE, Contract
from polycall_gateway.envoytypes import extension, typed
from polycall_gateway.lua import HIDDEN, face_lua
from polycall_gateway.replies import LENGTH
from polycall_gateway.vendors import VENDORS

__all__ = [
    "BODY_LIMIT",
    "INTERNAL",
    "INTERNAL_MESH",
    "INTERNAL_REST",
    "DescriptorSource",
    "Matcher",
    "body_limit",
    "compressor",
    "health",
    "lua",
    "native_only",
    "native_words",
    "rate_limit",
    "router",
    "strip",
    "transcoders",
]

# The name of the filter that bounds bodies, by which routes set another bound.
BODY_LIMIT = "body_limit"
# Those of filters that some routes do without.
_LUA, _WORDS, _FACES, _NATIVE = "lua", "native_words", "faces", "native"

# How the transcoder gets the descriptor set: {"proto_descriptor_bin": …} or {"proto_descriptor": path}.
DescriptorSource = dict[str, str]

# What a message may have beside a body: path variables. The server takes as much.
_WRAPPING = 256 << 10

# A StringMatcher of a header's name.
Matcher = dict[str, Any]

# Nobody outside may say these. grpc-timeout would be obeyed by the server, grpc-encoding believed by the transcoder,
# x-envoy-* by the router. gRPC refuses the whole request for a name with a character that only HTTP allows, and for a
# header that ends in -bin and is not base64.
INTERNAL: tuple[Matcher, ...] = ({"exact": "x-http-status"}, {"prefix": "x-polycall-"}, {"prefix": "x-envoy-"})
# x-polycall-function may be said, where it picks a server: it opens nothing. The rest is ours, and of no use here: the
# native services go by none of it.
INTERNAL_MESH: tuple[Matcher, ...] = (
    {"exact": "x-http-status"},
    {"prefix": "x-envoy-"},
    *({"exact": f"x-polycall-{name}"} for name in ("authority", "face", "query", "trace")),
)
INTERNAL_REST: tuple[Matcher, ...] = (
    *INTERNAL,
    {"prefix": "grpc-"},
    {"suffix": "-bin"},
    {"safe_regex": {"regex": ".*[^:0-9a-z_.-].*"}},
)


def strip(headers: Iterable[Matcher]) -> dict[str, Any]:
    """Return the extension that removes request headers before anything else sees them."""
    mutations = [{"remove_on_match": {"key_matcher": header}} for header in headers]
    return typed(
        "strip", "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", mutations=mutations
    )


def lua(territory: Iterable[tuple[str, str]], faces: Iterable[str]) -> dict[str, Any]:
    """Return the filter that knows the faces."""
    source = {"inline_string": face_lua(territory, faces)}
    return typed(_LUA, "extensions.filters.http.lua.v3.Lua", default_source_code=source)


def native_words() -> dict[str, Any]:
    """Return what does for routes of the native API, which need little of it, what Lua does for all others."""
    replace = "OVERWRITE_IF_EXISTS_OR_ADD"
    said = {
        "x-polycall-face": NATIVE,
        # The transcoder takes it away, and what does not fit is quoted where it is short: replies.py.
        LENGTH: "%REQ(CONTENT-LENGTH)%",
        # The transcoder would pass on as it is what claims to be gRPC already; of other types it takes no notice.
        "content-type": "application/json",
    }
    filter_ = typed(
        _WORDS,
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"append": {"header": {"key": key, "value": value}, "append_action": replace}}
                for key, value in said.items()
            ],
            "response_mutations": [{"remove": name} for name in HIDDEN],
        },
    )
    return filter_ | {"disabled": True}


def native_only() -> dict[str, Any]:
    """Return the ``typed_per_filter_config`` of a route of the native API: no Lua, which takes a fifth of the CPU."""
    on: dict[str, Any] = {"config": {}}
    off: dict[str, Any] = {"disabled": True}
    filters = {_LUA: off, _FACES: off, _WORDS: on, _NATIVE: on}
    return {name: extension("config.route.v3.FilterConfig", **how) for name, how in filters.items()}


def health() -> dict[str, Any]:
    """Return the filter that answers ``/healthz``: 200 if a server is healthy, else 503."""
    return typed(
        "health",
        "extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        cluster_min_healthy_percentages={SERVERS: {"value": 1}},
        headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
    )


def rate_limit(config: GatewayConfig) -> list[dict[str, Any]]:
    """Return the filter that bounds the rate of a listener; none if there is no bound."""
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
            # x-ratelimit-limit, -remaining, -reset (seconds), on every answer
            enable_x_ratelimit_headers="DRAFT_VERSION_03",
        )
    ]


# A face's answer of another status than 200 ends in trailers, by which the transcoder makes the status; compressed, it
# arrived as a 500 that is not gzip. What tells of an error is short, most of the time.
_ERRORS = [400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 412, 413, 415, 422, 424, 429, 499, 500, 501, 502, 503, 504]


def compressor(config: GatewayConfig) -> list[dict[str, Any]]:
    """Return the filter that compresses answers; none if that is not wanted."""
    if not config.compress:
        return []
    gzip = typed("gzip", "extensions.compression.gzip.compressor.v3.Gzip", compression_level="BEST_SPEED")
    json = {"min_content_length": 1024, "content_type_matcher": [{"prefix": "application/json"}]}
    return [
        typed(
            "compressor",
            "extensions.filters.http.compressor.v3.Compressor",
            compressor_library=gzip,
            response_direction_config={"common_config": json, "uncompressible_response_codes": _ERRORS},
        )
    ]


def body_limit(config: GatewayConfig) -> dict[str, Any]:
    """Return the filter that answers 413 to a body that is too large, whether its length was told or not."""
    return typed(BODY_LIMIT, "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=config.max_body_bytes)


def transcoders(
    contract: Contract, config: GatewayConfig, source: DescriptorSource, faces: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return one transcoder for the faces and one for the native API, which is there for its routes alone.

    They share nothing: a custom verb of the native API, such as ":run", would be taken off a face's ids as well.
    """
    message = "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
    common = {
        **source,
        "match_incoming_request_route": True,
        "url_unescape_spec": "ALL_CHARACTERS",
        # Of messages, not of bodies: `body_limit` has let them pass.
        "max_request_body_size": max([config.max_body_bytes, *_own_limits(faces)]) + _WRAPPING,
        "max_response_body_size": config.max_body_bytes,
    }
    made = []
    services = [service for face in faces if face != NATIVE for service in contract.services[face]]
    if services:
        made.append(typed(_FACES, message, services=services, **common))
    if NATIVE in faces:
        made.append(
            typed(
                _NATIVE,
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
            | {"disabled": True}
        )
    return made


def _own_limits(faces: Iterable[str]) -> Iterator[int]:
    for face in faces:
        yield from VENDORS[face].bodies.values()


def router() -> dict[str, Any]:
    """Return the filter that hands requests over, the last of all."""
    return typed("router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
