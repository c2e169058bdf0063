"""Routes of the REST listeners, all from the bindings: a path that is in no annotation has no route."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from polycall_gateway.clusters import SERVERS
from polycall_gateway.config import GatewayConfig
from polycall_gateway.descriptors import NATIVE, Binding
from polycall_gateway.envoytypes import typed
from polycall_gateway.filters import BODY_LIMIT, native_only
from polycall_gateway.vendors import VENDORS

__all__ = ["FUNCTION", "UNRUN", "rest_routes", "retry_policy", "seconds", "territory"]

# The function that a gRPC request is about, such as packages/p/functions/f: said by the client, for the ring alone.
FUNCTION = "x-polycall-function"
_VERBS = 8  # in one regex: Envoy refuses those that RE2 compiles to more than 100 instructions, some ten words

# Only where no server can have seen the request: after anything else the code may have run.
_RETRY: Mapping[str, Any] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    "host_selection_retry_max_attempts": 3,
    "retry_host_predicate": [
        typed("previous_hosts", "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
    ],
}

# RESOURCE_EXHAUSTED is said before anything ran, everywhere: another server may have room. The header says the same of
# one that shuts down, and of faces, whose contracts have other words for it.
UNRUN = "x-polycall-unrun"
_RETRY_ELSEWHERE: Mapping[str, Any] = {
    **_RETRY,
    "retry_on": f"{_RETRY['retry_on']},resource-exhausted,retriable-headers",
    "retriable_headers": [{"name": UNRUN, "present_match": True}],
    "num_retries": 1,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    "host_selection_retry_max_attempts": 5,
}

# Behind the transcoder the path is the RPC's; this header has the one that was asked for. What stands for the function
# in it is the key: the same text as in a gRPC client's header for the native API, the whole path for a face.
_ORIGINAL_PATH = "x-envoy-original-path"
_NATIVE_FUNCTION = r"^/polycall/v1/(packages/[^/?]+/(versions/[^/?]+/)?functions/[^/?:]+).*"
_PATH = r"^([^?]*).*"

_UNCOMPRESSED = typed("compressor", "extensions.filters.http.compressor.v3.CompressorPerRoute", disabled=True)


def rest_routes(bindings: Iterable[Binding], config: GatewayConfig) -> list[dict[str, Any]]:
    """Return the routes for ``bindings``: each path's methods, then 405 for its others; at the end 404 for all else.

    The most special template owns a path: a literal wins over a variable, as it does in the transcoder.
    """
    ranked = sorted(bindings, key=lambda binding: (binding.template.rank, binding.verb))
    with_verb = [binding for binding in ranked if binding.template.verb]
    without = [binding for binding in ranked if not binding.template.verb]
    return [*_paths(with_verb, config), *_strangers(with_verb), *_paths(without, config), _NOWHERE]


_NOWHERE: dict[str, Any] = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}


def _paths(bindings: list[Binding], config: GatewayConfig) -> Iterator[dict[str, Any]]:
    for _, group in groupby(bindings, key=lambda binding: binding.template.regex):
        methods = list(group)
        for binding in methods:
            yield _method(binding, config)
        if any(binding.rpc in VENDORS[binding.face].hidden for binding in methods):
            yield {"match": _match(methods[0]), "direct_response": {"status": 404}}
            continue
        allow = {"key": "allow", "value": ", ".join(binding.verb for binding in methods)}
        yield {
            "match": _match(methods[0]),
            "direct_response": {"status": 405},
            "response_headers_to_add": [{"header": allow}],
        }


def _match(binding: Binding) -> dict[str, Any]:
    template = binding.template
    if VENDORS[binding.face].slashed:
        # Lua takes the slash away before the transcoder sees it.
        return {"safe_regex": {"regex": f"{template.regex[:-1]}/?$"}}
    return {"path": template.path} if template.path else {"safe_regex": {"regex": template.regex}}


def _strangers(bindings: list[Binding]) -> Iterator[dict[str, Any]]:
    # The transcoder takes a verb that it knows off any path, then finds no RPC, and passes the request on as it is.
    verbs = sorted({binding.template.verb for binding in bindings if binding.template.verb})
    for root in sorted({f"/{binding.template.segments[0]}/" for binding in bindings}):
        for first in range(0, len(verbs), _VERBS):
            regex = f"^{re.escape(root)}.*:({'|'.join(verbs[first : first + _VERBS])})$"
            yield {"match": {"safe_regex": {"regex": regex}}, "direct_response": {"status": 404}}


def retry_policy(config: GatewayConfig) -> dict[str, Any]:
    """Return when a request is sent again, and where."""
    return dict(_RETRY_ELSEWHERE if config.replicas else _RETRY)


def _hash_policy(binding: Binding) -> list[dict[str, Any]]:
    pattern = _NATIVE_FUNCTION if binding.face == NATIVE else _PATH
    rewrite = {"pattern": {"regex": pattern}, "substitution": r"\1"}
    return [{"header": {"header_name": _ORIGINAL_PATH, "regex_rewrite": rewrite}}]


def _method(binding: Binding, config: GatewayConfig) -> dict[str, Any]:
    longest = config.max_stream_s if binding.streams else config.unary_s
    route: dict[str, Any] = {
        "name": binding.name,
        "match": _match(binding) | {"headers": [{"name": ":method", "string_match": {"exact": binding.verb}}]},
        "route": {
            "cluster": SERVERS,
            "timeout": "0s" if binding.streams else seconds(config.unary_s),
            # A run may be silent for as long as it lasts.
            "idle_timeout": seconds(config.unary_s),
            "max_stream_duration": {"max_stream_duration": seconds(longest + config.max_upload_s)},
        },
    }
    if config.replicas and binding.template.path is None:
        route["route"]["hash_policy"] = _hash_policy(binding)
    own = []
    if binding.streams and config.compress:
        # The compressor keeps back what it has until there is enough of it: nothing would be live.
        own.append(_UNCOMPRESSED)
    if most := VENDORS[binding.face].bodies.get(binding.rpc):
        buffer = {"max_request_bytes": most}
        own.append(typed(BODY_LIMIT, "extensions.filters.http.buffer.v3.BufferPerRoute", buffer=buffer))
    differing = {each["name"]: each["typed_config"] for each in own}
    if binding.face == NATIVE:
        differing |= native_only()
    if differing:
        route["typed_per_filter_config"] = differing
    return route


def seconds(value: float) -> str:
    """Write a duration as protobuf JSON does."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def territory(bindings: Iterable[Binding], claims: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Return pairs of path prefix and face, the longest first: whose errors an unknown path gets.

    ``claims``: prefixes by face; the literal beginnings of the bindings join them where they say something else.
    """
    owners = {prefix: face for face, prefixes in claims.items() for prefix in prefixes}

    def owner(path: str) -> str | None:
        inside = [prefix for prefix in owners if path == prefix or path.startswith(f"{prefix}/")]
        return owners[max(inside, key=len)] if inside else None

    for binding in bindings:
        if owner(binding.template.prefix) != binding.face:
            owners[binding.template.prefix] = binding.face
    return sorted(owners.items(), key=lambda item: (-len(item[0]), item[0]))
