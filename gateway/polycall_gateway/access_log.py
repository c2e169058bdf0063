"""The access log: one JSON object a line."""

from __future__ import annotations

from typing import Any

from polycall_gateway.config import GatewayConfig
from polycall_gateway.envoytypes import typed

__all__ = ["access_log"]

# What clients choose is cut at so many bytes: else anybody could fill a disk with 32 KiB a request.
_PATH_BYTES, _METHOD_BYTES = 1024, 32

# No query: what a face's contract keeps secret in a URL stands there, and the route says what was asked for.
_FIELDS = {
    "time": "%START_TIME%",
    "face": "%REQ(X-POLYCALL-FACE)%",
    "route": "%ROUTE_NAME%",
    "method": f"%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD):{_METHOD_BYTES}%",
    "path": f"%PATH(NQ:ORIG_OR_PATH):{_PATH_BYTES}%",
    "status": "%RESPONSE_CODE%",
    "grpc": "%GRPC_STATUS(SNAKE_STRING)%",
    "flags": "%RESPONSE_FLAGS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "ms": "%DURATION%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "id": "%REQ(X-REQUEST-ID)%",
    "server": "%UPSTREAM_REMOTE_ADDRESS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}
_STREAMS = {
    "/dev/stdout": "extensions.access_loggers.stream.v3.StdoutAccessLog",
    "/dev/stderr": "extensions.access_loggers.stream.v3.StderrAccessLog",
}


def access_log(config: GatewayConfig) -> list[dict[str, Any]]:
    """Return the loggers of a listener: one, or none."""
    if not config.access_log:
        return []
    fields: dict[str, Any] = {"log_format": {"json_format": dict(_FIELDS)}}
    stream = _STREAMS.get(config.access_log)
    if stream is None:
        return [typed("file", "extensions.access_loggers.file.v3.FileAccessLog", path=config.access_log, **fields)]
    return [typed("stream", stream, **fields)]
