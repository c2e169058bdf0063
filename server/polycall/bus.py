"""The bus: how the server processes of one machine tell each other what must not be served from memory any more.

Each has a datagram socket in the closed directory of the sockets. News is sent to all, each answers once it has taken
it, and whoever has changed something waits for the answers before it says that the change is made. A process without a
socket is not running: it has nothing in memory, and reads what has been committed when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from polycall.engine.siblings import News

__all__ = ["Bus"]

# Siblings answer in a fraction of a millisecond, or when their event loop comes to it. One that takes longer than this
# hangs, as Envoy takes it to (its health checks); the caches' own bounds hold for it (keys and versions: 30 s).
_ANSWER_S = 3.0
# A receiver's queue takes 10 datagrams on older kernels (net.unix.max_dgram_qlen).
_AGAIN_S = 0.001
_LARGEST = 16 << 10  # ids of a few hundred characters
_AT_ONCE = 64  # datagrams read in one turn of the loop

log = logging.getLogger(__name__)


class _Datagram(msgspec.Struct, array_like=True):
    number: int
    news: News | None = None  # None: the answer to that number
    meant: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Datagram).decode


class Bus:
    """One process's end of it; implements ``polycall.engine.siblings.Siblings``.

    ``take`` is called with what others tell, and returns whether it meant something here.
    """

    def __init__(self, own: Path, others: Sequence[Path], take: Callable[[News], Awaitable[bool]]) -> None:
        self._own = own
        self._others = tuple(map(str, others))
        self._take = take
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[int, str], asyncio.Future[bool]] = {}
        self._taking: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None

    @property
    def some(self) -> bool:
        """Whether there may be others."""
        return bool(self._others)

    def start(self) -> None:
        """Begin to listen; before anything is kept in memory. Raises OSError."""
        self._own.unlink(missing_ok=True)  # a predecessor's
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(str(self._own))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    async def close(self) -> None:
        """Stop listening; harmless twice."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        self._own.unlink(missing_ok=True)
        for task in self._taking:
            task.cancel()
        if self._taking:
            await asyncio.wait(self._taking)

    async def tell(self, news: News) -> bool:
        """Tell all, wait until they have heard it; return whether it meant something to any of them."""
        number = next(self._numbers)
        answers = await asyncio.gather(*(self._tell(other, number, news) for other in self._others))
        return any(answers)

    def hint(self, news: News) -> None:
        """Tell all without waiting."""
        data = _encode(_Datagram(0, news))
        for other in self._others:
            with contextlib.suppress(OSError):
                self._send(other, data)

    async def _tell(self, other: str, number: int, news: News) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[number, other] = answer
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await answer if await self._delivered(other, _encode(_Datagram(number, news))) else False
        except TimeoutError:
            log.error("%s does not answer: for half a minute it may go by what it knows", Path(other).name)
            return False
        finally:
            del self._asked[number, other]

    async def _delivered(self, other: str, data: bytes) -> bool:
        while True:
            try:
                self._send(other, data)
            except BlockingIOError:
                await asyncio.sleep(_AGAIN_S)
            except OSError:  # ENOENT, ECONNREFUSED: it is not running
                return False
            else:
                return True

    def _send(self, other: str, data: bytes) -> None:
        if self._socket is None:
            raise ConnectionError
        self._socket.sendto(data, other)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                assert self._socket is not None  # noqa: S101
                data, sender = self._socket.recvfrom(_LARGEST)
                datagram = _decode(data)
            except BlockingIOError:
                return
            except (OSError, msgspec.DecodeError) as error:
                log.error("a datagram of another process cannot be read: %s", error)
                continue
            if datagram.news is not None:
                task = asyncio.get_running_loop().create_task(self._taken(datagram.number, datagram.news, sender))
                self._taking.add(task)
                task.add_done_callback(self._taking.discard)
            elif (answer := self._asked.get((datagram.number, sender))) is not None and not answer.done():
                answer.set_result(datagram.meant)

    async def _taken(self, number: int, news: News, sender: str) -> None:
        try:
            meant = await self._take(news)
        except Exception:
            log.exception("news of another process was lost")  # it is not answered, so its sender logs it as well
            return
        if number and sender in self._others:
            async with contextlib.AsyncExitStack() as stack:
                stack.enter_context(contextlib.suppress(TimeoutError))
                await stack.enter_async_context(asyncio.timeout(_ANSWER_S))
                await self._delivered(sender, _encode(_Datagram(number, None, meant)))
