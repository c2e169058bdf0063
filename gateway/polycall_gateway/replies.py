"""Local replies: the body of everything that Envoy answers by itself, as each vendor would word it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from polycall_gateway.descriptors import NATIVE
from polycall_gateway.situations import SITUATIONS, UNFIT, Situation
from polycall_gateway.vendors import ANYONE, VENDORS, Vendor

__all__ = ["LENGTH", "body_text", "face_replies", "mesh_replies"]

LENGTH = "x-polycall-length"  # the content-length of a native request that came as it is, not compressed

# Bodies up to that may be quoted; a query is in the request head, which has a limit of its own.
_QUOTED_BYTES = 64 << 10


def face_replies(faces: Iterable[str], fallback: str = ANYONE) -> dict[str, Any]:
    """Return the ``local_reply_config`` of a REST listener.

    A face is known by the header x-polycall-face. ``fallback`` words what happens before there is one: where nobody
    lives, and errors of the protocol.
    """
    mappers = [*_HEALTH]
    if NATIVE in faces:
        mappers.append(_explained())
    mappers += [_mapper(face, situation) for face in faces for situation in SITUATIONS]
    mappers += [_mapper(fallback, situation, known=False) for situation in SITUATIONS]
    internal = next(situation for situation in SITUATIONS if situation.status == 500)
    return {"mappers": mappers, "body_format": _format(VENDORS[fallback], internal)}


def body_text(vendor: Vendor, situation: Situation) -> str:
    """Return the body in which ``vendor`` tells of ``situation``, TRACE standing for the trace id."""
    return json.dumps(vendor.body(situation), separators=(",", ":"))


def mesh_replies() -> dict[str, Any]:
    """Return the ``local_reply_config`` of the gRPC listener: constant messages, and honest codes.

    Envoy derives the gRPC code from the HTTP status: 503 is UNAVAILABLE, which clients may repeat; 500 is UNKNOWN.
    """
    mappers = [_filtered(_conditions("", situation), situation) for situation in SITUATIONS]
    for mapper, situation in zip(mappers, SITUATIONS, strict=True):
        mapper["body_format_override"] = {"text_format_source": {"inline_string": situation.text}}
    return {"mappers": [*_HEALTH, *mappers]}


def _mapper(face: str, situation: Situation, *, known: bool = True) -> dict[str, Any]:
    vendor = VENDORS[face]
    mapper = _filtered(_conditions(face if known else "", situation), situation)
    status = (vendor.statuses or {}).get(situation.answer)
    if status:
        mapper["status_code"] = status
    return mapper | {"body_format_override": _format(vendor, situation)}


def _explained() -> dict[str, Any]:
    """Return the mapper that quotes the transcoder: which field of a native request does not fit, and why.

    It quotes the value as well, so only where that cannot be large: no caller shall have megabytes quoted.
    """
    short = {"name": LENGTH, "range_match": {"start": 0, "end": _QUOTED_BYTES + 1}}
    # the transcoder makes a POST of everything, and says what it was
    bodiless = [{"name": name, "string_match": {"exact": "GET"}} for name in (":method", "x-envoy-original-method")]
    small = {"or_filter": {"filters": [{"header_filter": {"header": header}} for header in (short, *bodiless)]}}
    # json_format, although it sorts the keys: it quotes as JSON what a caller has sent
    body = VENDORS[NATIVE].body(UNFIT) | {"message": "The request does not fit. %LOCAL_REPLY_BODY%"}
    format_ = {"json_format": body, "content_type": VENDORS[NATIVE].content_type}
    return _filtered([*_conditions(NATIVE, UNFIT), small], UNFIT) | {"body_format_override": format_}


def _filtered(conditions: list[dict[str, Any]], situation: Situation) -> dict[str, Any]:
    only = conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}
    mapper: dict[str, Any] = {"filter": only}
    if situation.becomes:
        mapper["status_code"] = situation.becomes
    if situation.headers:
        mapper["headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in situation.headers
        ]
    return mapper


def _conditions(face: str, situation: Situation) -> list[dict[str, Any]]:
    conditions = [_header("x-polycall-face", face)] if face else []
    conditions.append(_status(situation.status))
    if situation.flags:
        conditions.append({"response_flag_filter": {"flags": list(situation.flags)}})
    return conditions


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": {"exact": value}}}}


def _status(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"polycall.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _format(vendor: Vendor, situation: Situation) -> dict[str, Any]:
    # Text, not json_format: that one sorts the keys and ends with a newline.
    return {"text_format_source": {"inline_string": body_text(vendor, situation)}, "content_type": vendor.content_type}


# The health check is a local reply as well, without a body of its own.
_HEALTH = tuple(
    {
        "filter": {"and_filter": {"filters": [_header(":path", "/healthz"), _status(status)]}},
        "body_format_override": {
            "text_format_source": {"inline_string": f'{{"status":"{word}"}}'},
            "content_type": "application/json",
        },
    }
    for status, word in ((200, "SERVING"), (503, "NOT_SERVING"))
)
