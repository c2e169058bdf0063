"""What the server says of itself: lines on standard error.

There is one a call, so they are cheap: nothing is collected that they do not show, the time is spelled once a second,
and the lines of a moment leave in one write. Warnings and errors leave at once. Of exceptions the log has types
and frames, never texts: these quote what callers sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO

__all__ = ["LineHandler", "log_to", "say", "where"]

_MOMENT_S = 0.05
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to(stream: TextIO, level: str) -> None:
    """Send all logs of a level and above to a stream."""
    # what else is collected for each line (docs.python.org/3/howto/logging.html#optimization)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    logging.basicConfig(level=level.upper(), handlers=[LineHandler(stream)])


class _Line(logging.LogRecord):
    """A record of a line at INFO without arguments: what it has beside these is the same for all."""

    _same: Mapping[str, object] = vars(logging.LogRecord("", logging.INFO, "", 0, "", None, None))

    def __init__(self, name: str, line: str) -> None:
        now = time.time()
        self.__dict__ |= self._same
        self.name, self.msg, self.created, self.msecs = name, line, now, now % 1 * 1000


def say(log: logging.Logger, line: str) -> None:
    """Log a line at INFO, which whoever made it has asked for (``isEnabledFor``).

    ``log.info`` does the same for every kind of message, at five times the cost.
    """
    log.callHandlers(_Line(log.name, line))


class LineHandler(logging.Handler):
    """Writes lines to a stream: those that an event loop's thread logs together, others as they come."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(_Formatter())
        self._stream = stream
        self._records: list[logging.LogRecord] = []
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a line. Without a lock: to append to a list is one step, whoever does; and nothing is filtered here."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        if record.args:  # they may change before it is written
            record.msg, record.args = record.getMessage(), None
        self._records.append(record)
        loop = asyncio._get_running_loop() if record.levelno < logging.WARNING else None
        if loop is None:
            self.flush()
        elif self._timer is None:
            self._timer = loop.call_later(_MOMENT_S, self._due)

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            records = self._records[:]
            del self._records[: len(records)]  # others may have come meanwhile
            if records:
                self._stream.write("".join([f"{self.format(record)}\n" for record in records]))
                self._stream.flush()
        except Exception:
            self.handleError(records[-1])
        finally:
            self.release()


class _Formatter(logging.Formatter):
    """``_FORMAT``; what logging has for any format takes twice as long, and there is a line a call."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)
        self._second, self._spelled = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.exc_text or record.stack_info or record.args:
            return super().format(record)
        return f"{self.formatTime(record)} {record.levelname} {record.name}: {record.msg}"

    def formatException(self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | Any) -> str:
        return where(ei[1])

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._spelled = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._spelled},{int(record.msecs):03d}"


def where(error: BaseException | None) -> str:
    """Return types and frames of an exception and its causes; their texts may quote inputs and stay out of the log."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines += [*traceback.format_tb(error.__traceback__), f"{type(error).__module__}.{type(error).__qualname__}\n"]
        error = error.__cause__ or error.__context__
    return "".join(lines).rstrip("\n")
