"""The cluster: how servers that share a database tell each other what must not be served from memory any more.

As the bus of one machine, over the database's own channel: news goes to all, each that lives answers once it
has taken it, and whoever has changed something waits for the answers before it says that the change is made. One that
does not answer in time is cut off, or dead; the caches' own bounds hold for it (keys and versions: 30 s).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection

import msgspec

from polycall.engine.siblings import BuildAsked, CancelAsked, News, RecordAsked
from polycall.quick import dataclass

__all__ = ["Cluster", "in_cluster"]

# A healthy server answers within some milliseconds. One that has died counts as living until its lease has run out, and
# every change waits so long for it.
_ANSWER_S = 1.0
_HINTS_S = 0.005  # hints of so long are one notice, each of them once
_MOST_HINTS = 1000  # that wait; they may be lost
_LARGEST = 7900  # bytes; PostgreSQL takes 7999

log = logging.getLogger(__name__)


class _Notice(msgspec.Struct, array_like=True):
    sender: str
    number: int
    news: tuple[News, ...] = ()  # (): the answer to that number
    to: str = ""
    meant: bool = False


def in_cluster(database_url: str) -> bool:
    """Tell whether a database may have other servers: PostgreSQL may, an embedded one has its processes only."""
    return database_url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres")


@dataclass(slots=True)
class _Asked:
    """News whose answers are waited for."""

    waiting: set[str]  # who has not answered
    first: bool  # the first for whom it means something is enough
    answer: asyncio.Future[bool]
    meant: bool = False


# What only one server can have: no need to wait for the others, nor for who has died.
_OF_ONE = (RecordAsked, CancelAsked, BuildAsked)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Notice).decode


class Cluster:
    """One server's end of it; implements ``polycall.engine.siblings.Siblings``.

    ``take`` is called with what others tell, and returns whether it meant something here; ``gap`` when something may
    have been missed. ``others`` tells which nodes live.
    """

    some = True  # or there may be in a moment

    def __init__(
        self,
        url: str,
        node: str,
        take: Callable[[News], Awaitable[bool]],
        gap: Callable[[], None],
    ) -> None:
        self._node = node
        self._take = take
        from polycall.store.channel import Channel  # asyncpg: an embedded server has none

        self._channel = Channel(url, self._hear, gap)
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._hints: dict[bytes, News] = {}
        self._hinting: asyncio.Task[None] | None = None
        self._taking: set[asyncio.Task[None]] = set()
        self.others: Callable[[], Collection[str]] = lambda: ()

    async def start(self) -> None:
        """Begin to listen; before anything is kept in memory."""
        await self._channel.start()

    async def close(self) -> None:
        """Stop listening; harmless twice."""
        await self._channel.close()
        tasks = [*self._taking, *([self._hinting] if self._hinting is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def tell(self, news: News) -> bool:
        """Tell all, wait until those that live have heard it; return whether it meant something to any of them."""
        waiting = set(self.others())
        if not waiting:
            self.hint(news)  # somebody may have come this very moment
            return False
        number = next(self._numbers)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[number] = _Asked(waiting, isinstance(news, _OF_ONE), answer)
        try:
            async with asyncio.timeout(_ANSWER_S):
                if not await self._say(_Notice(self._node, number, (news,))):
                    return False
                return await answer
        except TimeoutError:
            missing = len(self._asked[number].waiting)
            log.warning("%d servers do not answer: for half a minute they may go by what they know", missing)
            return False
        finally:
            del self._asked[number]

    def hint(self, news: News) -> None:
        """Tell all without waiting; it may be lost."""
        if len(self._hints) < _MOST_HINTS:
            self._hints[_encode(news)] = news
        if self._hinting is None or self._hinting.done():
            self._hinting = asyncio.get_running_loop().create_task(self._hinted())

    async def _hinted(self) -> None:
        while self._hints:
            await asyncio.sleep(_HINTS_S)
            hints, self._hints = self._hints, {}
            pieces: list[News] = []
            size = 0
            for text, news in hints.items():
                if pieces and size + len(text) > _LARGEST // 2:
                    await self._hint(pieces)
                    pieces, size = [], 0
                pieces.append(news)
                size += len(text)
            await self._hint(pieces)

    async def _hint(self, pieces: list[News]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                await self._say(_Notice(self._node, 0, tuple(pieces)))

    async def _say(self, notice: _Notice) -> bool:
        text = _encode(notice)
        if len(text) > _LARGEST:  # ids are at most some hundred characters
            log.error("other servers cannot be told of a change: it has %d bytes", len(text))
            return False
        return await self._channel.say(text.decode())

    def _hear(self, text: str) -> None:
        try:
            notice = _decode(text)
        except msgspec.DecodeError as error:  # of another release, perhaps
            log.warning("what another server said cannot be read: %s", error)
            return
        if notice.sender == self._node or (notice.to and notice.to != self._node):
            return
        if notice.to:
            self._answered(notice)
            return
        task = asyncio.get_running_loop().create_task(self._taken(notice))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    def _answered(self, notice: _Notice) -> None:
        asked = self._asked.get(notice.number)
        if asked is None or asked.answer.done():
            return
        asked.waiting.discard(notice.sender)
        asked.meant = asked.meant or notice.meant
        if not asked.waiting or (asked.meant and asked.first):
            asked.answer.set_result(asked.meant)

    async def _taken(self, notice: _Notice) -> None:
        meant = False
        for news in notice.news:
            try:
                meant = await self._take(news) or meant
            except Exception:
                log.exception("news of another server was lost")  # it is not answered, so its sender logs it as well
                return
        if notice.number:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._say(_Notice(self._node, notice.number, (), notice.sender, meant))
