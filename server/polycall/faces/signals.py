"""Signals as people know them."""

from __future__ import annotations

import signal

__all__ = ["signal_name"]


def signal_name(number: int | None) -> str:
    """Return ``SIGSEGV`` and the like."""
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return "real-time"
