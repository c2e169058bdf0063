"""What is truly each vendor's own and stands in no annotation: whose unknown paths are whose, and how errors look.

The shapes are those of the vendors' contracts; `native` is `google.rpc.Status` as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from polycall_gateway.descriptors import NATIVE
from polycall_gateway.situations import Situation

__all__ = ["ANYONE", "TRACE", "VENDORS", "Vendor"]

# Who answers where nobody lives.
ANYONE = ""

# Stands for the trace id in a body. Lua makes it, of characters that mean nothing in JSON.
TRACE = "%REQ(X-POLYCALL-TRACE)%"

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor words what Envoy itself has to answer."""

    body: Callable[[Situation], dict[str, Any]]
    territory: tuple[str, ...] = ()
    """Paths below which unknown ones are this vendor's, where its bindings alone do not say so."""
    content_type: str = _JSON
    statuses: dict[int, int] | None = None
    """HTTP statuses that differ from those of everyone else."""
    bodies: Mapping[str, int] = field(default_factory=dict)
    """The largest body of a request, bytes, by RPC, where it is not that of everyone else."""
    hidden: frozenset[str] = frozenset()
    """RPCs at whose paths no other method is told apart from a path that is not there: 404, not 405."""
    slashed: bool = False
    """Its clients put a slash behind some paths; no template can say that."""


# Riza calls an unknown path NOT_FOUND and a body that is too large INVALID_ARGUMENT.
_RIZA_CODES = {404: 5, 413: 3}


def _riza(situation: Situation) -> dict[str, Any]:
    return {"code": _RIZA_CODES.get(situation.answer, situation.code), "message": situation.text}


def _cognite(situation: Situation) -> dict[str, Any]:
    return {"error": {"code": situation.answer, "message": situation.text}}


# Guance spells a rate limit 401, and has one code for everything that is not the caller's fault.
_GUANCE_STATUSES = {429: 401}
# Whoever has no key is read no further than this.
_GUANCE_BODIES = {"SignIn": 64 << 10, "CallAuthLink": 1 << 20}
_GUANCE_CODES = {404: "ft.NotFound", 405: "ft.NotFound", 429: "ft.TriggerApiWorkspaceCurrentLimiting"}


def _guance(situation: Situation) -> dict[str, Any]:
    fallback = "ft.InvalidParameter" if situation.answer < 500 else "ft.InternalError"
    return {
        "code": _GUANCE_STATUSES.get(situation.answer, situation.answer),
        "content": {},
        "errorCode": _GUANCE_CODES.get(situation.answer, fallback),
        "message": situation.text,
        "success": False,
        "traceId": TRACE,
    }


# A FastAPI-style service says no more than the reason phrase, but for this one.
_XPANDER_DETAILS = {413: "Request body too large"}


def _xpander(situation: Situation) -> dict[str, Any]:
    return {"detail": _XPANDER_DETAILS.get(situation.answer, situation.phrase)}


def _domo(situation: Situation) -> dict[str, Any]:
    return {"status": situation.answer, "statusReason": situation.phrase, "message": situation.text}


def _native(situation: Situation) -> dict[str, Any]:
    body: dict[str, Any] = {"code": situation.code, "message": situation.text}
    if situation.reason:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": situation.reason, "domain": "polycall"}
        body["details"] = [info]
    return body


VENDORS: dict[str, Vendor] = {
    "riza": Vendor(_riza, ("/v1",)),
    "cognite": Vendor(
        _cognite,
        ("/api/v1/projects", "/api/v1/token", "/oauth2"),
        # Files are archives of code; credentials are read before anybody knows whose they are.
        bodies={"UploadFile": 100 << 20, "CreateToken": 64 << 10},
        hidden=frozenset({"UploadFile"}),
    ),
    "guance": Vendor(_guance, ("/api",), statuses=_GUANCE_STATUSES, bodies=_GUANCE_BODIES),
    "xpander": Vendor(_xpander, ("/v1/custom_functions", "/tools", "/agents", "/health")),
    "domo": Vendor(_domo, ("/api/codeengine", "/domo"), content_type="application/json;charset=UTF-8", slashed=True),
    NATIVE: Vendor(_native, ("/polycall",)),
    ANYONE: Vendor(_cognite),
}
