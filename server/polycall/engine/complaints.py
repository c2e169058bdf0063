"""How work that goes on says that a part of it failed."""

from __future__ import annotations

import logging

from polycall.errors import PolycallError, Unavailable

__all__ = ["complain"]


def complain(log: logging.Logger, what: str, error: Exception) -> None:
    """Log: one line for what is foreseen, the traceback for a fault of ours."""
    log.log(
        logging.WARNING if isinstance(error, Unavailable) else logging.ERROR,
        "%s: %s",
        what,
        error,
        exc_info=not isinstance(error, PolycallError),
    )
