"""Processes tell each other what has changed, and wait until it was heard."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from polycall import bus as bus_module
from polycall.bus import Bus
from polycall.engine.siblings import CallAccepted, CancelAsked, KeyRevoked, News, PackageChanged


@asynccontextmanager
async def members(directory: Path, *take: Callable[[News], bool]) -> AsyncIterator[list[Bus]]:
    """One end of a bus for each function."""
    paths = [directory / f"{number}.sock" for number in range(len(take))]

    def end(number: int) -> Bus:
        async def taken(news: News) -> bool:
            await asyncio.sleep(0)
            return take[number](news)

        return Bus(paths[number], [path for path in paths if path != paths[number]], taken)

    ends = [end(number) for number in range(len(take))]
    for one in ends:
        one.start()
    yield ends
    for one in ends:
        await one.close()
    assert list(directory.glob("*.sock")) == []


async def test_news_is_heard_by_all_others_when_it_is_told(tmp_path: Path) -> None:
    heard: list[tuple[int, News]] = []

    def hear(number: int) -> Callable[[News], bool]:
        def take(news: News) -> bool:
            heard.append((number, news))
            return False

        return take

    async with members(tmp_path, *map(hear, range(3))) as (first, second, _):
        for news in (KeyRevoked("k"), PackageChanged("p", "a", "1"), CancelAsked("p", "x"), CallAccepted("p")):
            heard.clear()
            assert await first.tell(news) is False
            assert sorted(heard) == [(1, news), (2, news)]
        heard.clear()
        await second.tell(KeyRevoked("l"))
        assert sorted(heard) == [(0, KeyRevoked("l")), (2, KeyRevoked("l"))]


async def test_who_tells_learns_whether_it_meant_something_to_anybody(tmp_path: Path) -> None:
    async with members(tmp_path, lambda _: False, lambda _: False, lambda news: news == KeyRevoked("k")) as ends:
        assert await ends[0].tell(KeyRevoked("k")) is True
        assert await ends[0].tell(KeyRevoked("l")) is False


async def test_more_is_told_at_once_than_a_socket_holds(tmp_path: Path) -> None:
    heard: list[News] = []

    def take(news: News) -> bool:
        heard.append(news)
        return True

    async with members(tmp_path, lambda _: False, take) as (first, _):
        answers = await asyncio.gather(*(first.tell(KeyRevoked(str(number))) for number in range(500)))
        assert answers == [True] * 500
        assert len(heard) == len(set(heard)) == 500


async def test_who_does_not_run_is_not_waited_for(tmp_path: Path) -> None:
    async with members(tmp_path, lambda _: True, lambda _: True) as (first, second):
        await second.close()
        assert await first.tell(KeyRevoked("k")) is False
        stale = tmp_path / "1.sock"
        subprocess.run(
            [sys.executable, "-c", f"import socket; socket.socket(1, 2).bind({str(stale)!r})"], check=True, timeout=30
        )  # as a process leaves it that was killed
        assert await first.tell(KeyRevoked("k")) is False
        second.start()
        assert await first.tell(KeyRevoked("k")) is True


async def test_who_hangs_is_waited_for_so_long_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bus_module, "_ANSWER_S", 0.2)
    async with members(tmp_path, lambda _: True, lambda _: True) as (first, second):
        await second.close()
        program = f"import socket, time; s = socket.socket(1, 2); s.bind({str(tmp_path / '1.sock')!r}); time.sleep(60)"
        hanging = subprocess.Popen([sys.executable, "-c", program])
        try:
            end = time.monotonic() + 30
            while not (tmp_path / "1.sock").exists():
                assert time.monotonic() < end
                await asyncio.sleep(0.01)
            assert await first.tell(KeyRevoked("k")) is False
            assert "1.sock does not answer" in caplog.text
            for _ in range(50):
                first.hint(CallAccepted("p"))  # the socket is full; that is nobody's problem
        finally:
            os.kill(hanging.pid, signal.SIGKILL)
            hanging.wait()
        (tmp_path / "1.sock").unlink()


async def test_what_is_no_news_is_logged_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(news: News) -> bool:
        raise ValueError(news)

    async with members(tmp_path, lambda _: True, fail) as (first, second):
        first._send(str(tmp_path / "1.sock"), b"{")
        with caplog.at_level(logging.ERROR):
            task = asyncio.create_task(first.tell(KeyRevoked("k")))
            end = time.monotonic() + 10
            while "news of another process was lost" not in caplog.text:
                assert time.monotonic() < end
                await asyncio.sleep(0.01)
            task.cancel()
        assert "cannot be read" in caplog.text
        assert second.some
