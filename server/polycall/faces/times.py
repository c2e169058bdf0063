"""Times as JSON contracts write them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["iso_millis"]


def iso_millis(time_ms: int) -> str:
    """Return ms since the epoch as ISO 8601 in UTC with exactly three fraction digits and ``Z``."""
    seconds, millis = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"
