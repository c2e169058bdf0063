"""Versions that wait for their analysis: one at a time, the projects in turn, taken up again after a restart.

What waits is in the store (state ANALYSING); here is only who is next. So a server that is killed in the middle of an
analysis leaves nothing but work, which the next start takes up, or another server that looks after the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from polycall.domain import Version
from polycall.engine.tasks import end
from polycall.errors import Internal, PolycallError, QueueFull
from polycall.ids import now_ms

__all__ = ["Analyses"]

_MOST_WAITING = 1000  # of one project: minutes of work
_LOOK_S = 60.0  # how often the store is looked through, and how old a version is whose server must be gone
_LEFT_MS = int(_LOOK_S * 1000)
_MOST_LOOKED_AT = 100  # at once; the next ones when these are done
_AGAIN_S = 1.0  # after the database, a turn or the sandbox could not be had
_ATTEMPTS = 3  # at a version whose sandbox was lost: if it is the version's doing, it shall not be for ever
_LOST = "The sandbox was lost whenever this source was analysed; deploy it again, and report it if that does not help."

_Key = tuple[str, str, str]  # project, package, version

log = logging.getLogger(__name__)


class Analyses:
    """Analyses what waits, in the background. ``add`` may be called before ``run``."""

    def __init__(
        self,
        look: Callable[[int], Awaitable[tuple[Version, ...]]],
        analyze: Callable[[str, str, str], Awaitable[None]],
        give_up: Callable[[str, str, str, str], Awaitable[None]],
    ) -> None:
        """``analyze`` may raise what another attempt could cure; after too many, ``give_up`` is told why."""
        self._look = look
        self._analyze = analyze
        self._give_up = give_up
        self._waiting: OrderedDict[str, deque[_Key]] = OrderedDict()  # by project; the next one first
        self._known: dict[_Key, int] = {}  # attempts at what waits or is being analysed
        self._current: _Key | None = None
        self._changed = False  # the current one's source, meanwhile
        self._some = asyncio.Event()

    def check_room(self, project_id: str) -> None:
        """Raise QueueFull if too many versions of a project wait already."""
        if len(self._waiting.get(project_id, ())) >= _MOST_WAITING:
            raise QueueFull(
                f"{_MOST_WAITING} versions of this project wait for their analysis; try again.",
                subject="analysis",
                retry_after_s=_AGAIN_S,
            )

    def add(self, project_id: str, package_id: str, version_id: str) -> None:
        """Analyse a version that is kept as ANALYSING, when its turn comes."""
        key = (project_id, package_id, version_id)
        if key == self._current:
            self._changed = True
        elif key not in self._known:
            self._known[key] = 0
            self._put(key)

    async def run(self, *, takes_up: bool = True) -> None:
        """Work until cancelled. ``takes_up``: begin with what an earlier server left; else another process does."""
        looking = asyncio.create_task(self._look_after(0 if takes_up else _LEFT_MS))
        try:
            while True:
                await self._some.wait()
                key = self._next()
                if key is None:
                    self._some.clear()
                else:
                    await self._take(key)
        finally:
            await end(looking)

    # within

    async def _take(self, key: _Key) -> None:
        self._current, self._changed = key, False
        done = await self._attempt(key)
        self._current = None
        if not done:
            await asyncio.sleep(_AGAIN_S)
            self._put(key)
        elif self._changed:
            self._put(key)
        else:
            del self._known[key]

    def _put(self, key: _Key) -> None:
        self._waiting.setdefault(key[0], deque()).append(key)
        self._some.set()

    def _next(self) -> _Key | None:
        if not self._waiting:
            return None
        project_id, keys = self._waiting.popitem(last=False)
        key = keys.popleft()
        if keys:
            self._waiting[project_id] = keys  # behind the other projects
        return key

    async def _attempt(self, key: _Key) -> bool:
        """Return whether this is done with."""
        try:
            await self._analyze(*key)
        except PolycallError as error:
            self._known[key] += isinstance(error, Internal)
            if self._known[key] < _ATTEMPTS:
                return False
            return await self._given_up(key)
        except Exception:  # ours; whatever it is about one of them, the others shall be analysed
            log.exception("version %s of package %s could not be analysed", key[2], key[1])
            return await self._given_up(key)
        return True

    async def _given_up(self, key: _Key) -> bool:
        try:
            await self._give_up(*key, _LOST)
        except PolycallError:
            return False
        return True

    async def _look_after(self, least_age_ms: int) -> None:
        """Take up what an earlier server left, at once; later, what another server must have left."""
        while True:
            try:
                found = await self._look(_MOST_LOOKED_AT)
            except PolycallError:
                await asyncio.sleep(_AGAIN_S)
                continue
            now = now_ms()
            for version in found:
                if now - version.created_at >= least_age_ms:
                    self.add(version.project_id, version.package_id, version.id)
            if len(found) < _MOST_LOOKED_AT:
                least_age_ms = _LEFT_MS
            await asyncio.sleep(_LOOK_S if len(found) < _MOST_LOOKED_AT else _AGAIN_S)
