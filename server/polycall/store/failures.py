"""What a database raises, as what callers are told. No SQL and no value leaves this module."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy.exc

from polycall.domain import Reason
from polycall.errors import Internal, InvalidArgument, PolycallError, Unavailable

__all__ = ["Conflict", "translated", "unavailable"]

# SQLSTATE classes (PostgreSQL, appendix A) of a database that is away, full, going down or has given our transaction up
_AWAY = ("08", "25", "28", "3D", "40", "53", "55", "57", "58")

_FULL = ("SQLITE_FULL", "53100")  # disk_full

log = logging.getLogger(__name__)


class Conflict(Internal):
    """Raised when a constraint refuses a row and the statement did not foresee it."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database raises into Unavailable (away; repeat it), Conflict, or Internal (our fault; logged)."""
    try:
        yield
    except UnicodeEncodeError:  # within JSON
        raise InvalidArgument.of("", "text must be valid Unicode, without lone surrogates") from None
    except sqlalchemy.exc.StatementError as error:
        raise _of_statement(error) from None
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        # no connection: refused, timed out, or none became free
        log.warning("the database is away: %s", type(error).__name__)
        raise unavailable() from None
    except Exception as error:
        # a driver's own errors, raised while it connects; anything else is a fault of ours and keeps its traceback
        state = getattr(error, "sqlstate", None)
        if state is None:
            raise
        log.warning("the database is away: %s (%s)", type(error).__name__, state)
        raise unavailable() from None


def unavailable(*, full: bool = False) -> Unavailable:
    """Return what is raised while the database is away, or has no room."""
    if full:
        message = "The database's disk is full, so this was not kept. Its operator has to make room; retry later."
        return Unavailable(message, reason=Reason.STORE_UNAVAILABLE)
    return Unavailable("The database cannot be reached right now. Retry in a moment.", reason=Reason.STORE_UNAVAILABLE)


def _of_statement(error: sqlalchemy.exc.StatementError) -> PolycallError:
    cause = error.orig
    if isinstance(cause, PolycallError):  # raised while values were bound
        return cause
    code = _code(cause)
    kind = f"{type(cause).__name__} {code}".strip()
    if _is_away(error, code):
        full = code in _FULL
        log.warning("the database %s: %s", "has no room left on its disk" if full else "is away", kind)
        return unavailable(full=full)
    # the statement has placeholders, no values
    log.error("the database refused a statement: %s: %s", kind, error.statement)
    message = "The store refused what it was given; see the server's log."
    return Conflict(message) if isinstance(error, sqlalchemy.exc.IntegrityError) else Internal(message)


def _is_away(error: sqlalchemy.exc.StatementError, code: str) -> bool:
    if isinstance(error, sqlalchemy.exc.IntegrityError) or not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    if error.connection_invalidated or code.startswith(_AWAY):
        return True
    return code.startswith("SQLITE_") and code != "SQLITE_ERROR"


def _code(cause: BaseException | None) -> str:
    """Return SQLSTATE or the name of SQLite's result code; "" if there is none."""
    for name in ("sqlstate", "sqlite_errorname"):
        code = getattr(cause, name, None)
        if code:
            return str(code)
    return ""
