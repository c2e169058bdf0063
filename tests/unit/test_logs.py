"""The lines of the log."""

from __future__ import annotations

import asyncio
import io
import logging
import re

import pytest

from polycall.logs import LineHandler


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> logging.Logger:
    logger = logging.Logger("polycall.test", logging.INFO)
    logger.addHandler(LineHandler(stream))
    return logger


def test_a_line_tells_time_severity_and_sender(log: logging.Logger, stream: io.StringIO) -> None:
    log.info("said %d", 1)
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{stamp} INFO polycall\.test: said 1\n", stream.getvalue())


async def test_lines_of_a_moment_leave_together(log: logging.Logger, stream: io.StringIO) -> None:
    log.info("one")
    log.info("two")
    assert stream.getvalue() == ""
    async with asyncio.timeout(60):
        while not stream.getvalue():
            await asyncio.sleep(0.01)
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["one", "two"]


async def test_a_warning_leaves_at_once_and_takes_along_what_waits(log: logging.Logger, stream: io.StringIO) -> None:
    log.info("one")
    log.warning("two")
    assert [line.rpartition(" ")[2] for line in stream.getvalue().splitlines()] == ["one", "two"]


async def test_a_line_of_another_thread_leaves_at_once(log: logging.Logger, stream: io.StringIO) -> None:
    await asyncio.to_thread(log.info, "aside")
    assert stream.getvalue().endswith("aside\n")


async def test_what_waits_at_the_end_is_written(log: logging.Logger, stream: io.StringIO) -> None:
    log.info("last")
    log.handlers[0].flush()
    assert stream.getvalue().endswith("last\n")


def test_of_exceptions_types_and_frames_are_told_but_not_their_texts(log: logging.Logger, stream: io.StringIO) -> None:
    sent = "".join(("what ", "a caller ", "sent"))  # source lines are told
    try:
        try:
            raise KeyError(sent)
        except KeyError as cause:
            failure = ValueError(sent)
            cause.__cause__ = failure  # a chain need not end
            raise failure from cause
    except ValueError:
        log.exception("it failed")
    text = stream.getvalue()
    assert "it failed\n" in text
    assert "in test_of_exceptions_types_and_frames_are_told_but_not_their_texts" in text
    assert text.index("builtins.ValueError") < text.index("builtins.KeyError")
    assert sent not in text
