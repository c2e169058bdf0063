"""What the code of a run asks of the server, and is answered, over the connection on which its call came.

The asking side is hostile: one question at a time, so many in a run and so many bytes, in frames that are checked like
all others. Time is the run's own: its limit goes on meanwhile, and whatever is under way ends with it. What may be
asked is a matter of ``Job.services``, which only some adapters have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from polycall.quick import dataclass
from polycall.sandbox.frames import FrameError, Reply, encode_frame, parse_json
from polycall.sandbox.job import AskRefused, Services

__all__ = ["MOST_ASK_BYTES", "AskLimits", "Asks"]

# A value of the largest size that can be kept (256 KiB by default), every character of it escaped, and its key.
MOST_ASK_BYTES = 2 << 20
_CLOSE_S = 5.0  # what is cancelled may have a run of its own to kill, which takes 2 s

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLimits:
    """What one run may ask: questions, and bytes of questions and answers together.

    More is refused, which is told to the code; who asks ``grace`` times more after that is ended.
    """

    count: int = 1000
    bytes: int = 32 << 20
    grace: int = 20


class Asks:
    """The questions of one run. ``write`` sends frames to its process."""

    def __init__(
        self,
        services: Services,
        nonce: str,
        write: Callable[[Iterable[bytes]], None],
        limits: AskLimits = AskLimits(),
    ) -> None:
        self._services = services
        self._nonce = nonce
        self._write = write
        self._limits = limits
        self._asked = 0
        self._bytes = 0
        self._refused = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a question is being answered."""
        return self._task is not None and not self._task.done()

    def take(self, ask: Reply) -> FrameError | None:
        """Begin to answer; or return what is wrong with asking so, which ends the run."""
        if self.busy:
            return FrameError("it asks before it has its answer")
        if ask.id != self._asked + 1 or not ask.method or ask.odd or ask.laps:
            return FrameError("it asks in a wrong way")
        try:
            parse_json(ask.payload)
        except FrameError:
            return FrameError("it asks with what is no JSON")
        self._asked += 1
        self._bytes += len(ask.payload)
        if self._asked > self._limits.count or self._bytes > self._limits.bytes:
            self._refused += 1
            if self._refused > self._limits.grace:
                return FrameError("it asks too often")
            self._refuse(ask, self._too_much())
            return None
        self._task = asyncio.get_running_loop().create_task(self._answer(ask))
        return None

    async def close(self) -> None:
        """End what is under way."""
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait([task], timeout=_CLOSE_S)
        if not task.done():
            log.error("what a run asked for did not end when the run did")

    async def _answer(self, ask: Reply) -> None:
        try:
            answer = await self._services.answer(ask.method, ask.payload)
        except AskRefused as refusal:
            self._refuse(ask, str(refusal))
            return
        except Exception:
            log.exception("what a run asked for (%s) failed", ask.method)
            self._refuse(ask, "the server failed to answer; its log says more")
            return
        self._bytes += len(answer)
        if self._bytes > self._limits.bytes:
            self._refuse(ask, self._too_much())
            return
        self._send(ask, answer, ok=True)

    def _too_much(self) -> str:
        most = self._limits
        return f"a run may ask the server {most.count} times, and for {most.bytes >> 20} MiB in all"

    def _refuse(self, ask: Reply, message: str) -> None:
        self._send(ask, msgspec.json.encode(message), ok=False)

    def _send(self, ask: Reply, payload: bytes, *, ok: bool) -> None:
        header = {"op": "answer", "nonce": self._nonce, "id": ask.id, "ok": ok}
        self._write(encode_frame(header, [payload]))
