"""What Envoy itself may have to answer, before a vendor words it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["LOST", "SITUATIONS", "UNFIT", "UNKNOWN", "Situation"]

# Response flags of Envoy under which no server has seen the request: connecting failed, a circuit breaker is open,
# no server is healthy, retries that are only made before a request is sent are used up, the cluster is not there yet.
_NOTHING_REACHED = ("UF", "UO", "UH", "URX", "NC")

# Python's own phrase for it depends on the version.
_PHRASES = {413: "Payload Too Large"}

_AGAIN = (("retry-after", "1"),)
# Riza's clients repeat a 5xx unless they are told not to.
_NOT_AGAIN = (("x-should-retry", "false"),)


@dataclass(frozen=True, slots=True)
class Situation:
    """One answer of Envoy: when it is given, and what it means."""

    status: int
    """The HTTP status that Envoy chose."""
    code: int
    """The number of google.rpc.Code."""
    text: str
    """What happened, for the caller."""
    reason: str = ""
    """The name in polycall.v1.ErrorReason, where one fits."""
    flags: tuple[str, ...] = ()
    """Holds only under one of these response flags."""
    becomes: int = 0
    """The HTTP status that is sent instead."""
    headers: tuple[tuple[str, str], ...] = ()
    """Response headers that are added."""

    @property
    def answer(self) -> int:
        """Return the HTTP status that is sent."""
        return self.becomes or self.status

    @property
    def phrase(self) -> str:
        """Return the reason phrase of the status that is sent, as Envoy writes it."""
        return _PHRASES.get(self.answer) or HTTPStatus(self.answer).phrase


UNFIT = Situation(400, 3, "The request does not fit: check path, query, headers and body.", "INVALID_INPUT")
UNKNOWN = Situation(404, 12, "There is nothing at this path.", "UNKNOWN_METHOD")
LOST = Situation(
    503,
    13,
    "The connection to the server was lost; the code may have run.",
    "INTERNAL",
    becomes=500,
    headers=_NOT_AGAIN,
)

# The first that holds is taken: the more special one comes first.
SITUATIONS: tuple[Situation, ...] = (
    UNFIT,
    Situation(403, 7, "The connection cannot be upgraded."),
    UNKNOWN,
    Situation(405, 12, "This path does not take this method; the header allow names those it takes.", "UNKNOWN_METHOD"),
    Situation(408, 4, "The request did not arrive in time."),
    Situation(413, 8, "The request body is larger than the server takes.", "PAYLOAD_TOO_LARGE"),
    Situation(426, 9, "HTTP/1.1 or HTTP/2 is needed."),
    Situation(429, 8, "Too many requests; try again in a second.", headers=_AGAIN),
    Situation(431, 3, "The request headers are larger than the server takes."),
    Situation(500, 13, "Internal error.", "INTERNAL", headers=_NOT_AGAIN),
    Situation(501, 12, "The transfer coding is not supported."),
    Situation(502, 13, "Internal error.", "INTERNAL", becomes=500, headers=_NOT_AGAIN),
    Situation(
        503,
        14,
        "The server is not reachable; nothing was run. Try again in a second.",
        "DRAINING",
        flags=_NOTHING_REACHED,
        headers=_AGAIN,
    ),
    LOST,
    Situation(504, 4, "The server did not answer in time; the code may have run.", headers=_NOT_AGAIN),
)
