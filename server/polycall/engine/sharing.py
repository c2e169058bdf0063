"""Environments that servers on one database have of each other: built by one, fetched by the others.

Whoever builds one packs it and keeps it in the store, before anybody is told that its revision is ready. The others
fetch it when they first need it, unpack it as what a stranger sent, and compare its digest before it gets its name. The
directory of environments is a cache then: what was not used for longest goes when there is no room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path

from polycall.domain import PackedEnvironment
from polycall.engine.buildlog import BuildLog
from polycall.engine.limits import MIB
from polycall.engine.tasks import end, through
from polycall.errors import PolycallError
from polycall.ids import new_id
from polycall.quick import dataclass
from polycall.runtimes.environments import Environments, Unfinished
from polycall.runtimes.packing import Packing, Receiving, archive_digest
from polycall.runtimes.unpacking import BadEnvironment
from polycall.store.protocol import EnvironmentStore

__all__ = ["NoRoom", "Sharing", "SharingSettings", "TakesTooLong"]

_LOOK_S = 1.0  # how often one looks whether another server has built what is wanted
_AGAIN_S = 10.0  # after a fetch for which the disk had no room; every run would try it otherwise
_TOUCH_S = 60.0  # a run says so often that its environment is in use
_STANDING_S = 300.0  # processes that run nothing say so often that theirs is
# All that is kept, packed, as a multiple of what a server's disk may have of them unpacked: whoever may deploy has as
# many built as he likes, each some half a GiB of the database that all servers have.
_KEPT_DISKS = 4
_IDLE_S = 900.0  # not touched for so long: no process of any server in the directory has it

log = logging.getLogger(__name__)


class NoRoom(OSError):
    """Raised when the environments in use leave no room for another one."""


class TakesTooLong(Exception):
    """Raised when another server says for too long that it builds an environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingSettings:
    """``node`` builds; a claim of a node without a heartbeat for ``lease_s`` is void."""

    node: str
    lease_s: float
    wait_s: float  # for another server's build
    packed_bytes: int  # largest that is kept for others
    disk_bytes: int  # of all environments on this server's disk


class Sharing:
    """Fetches and keeps environments. ``in_use`` tells the paths that processes here have."""

    def __init__(
        self,
        store: EnvironmentStore,
        environments: Environments,
        settings: SharingSettings,
        in_use: Callable[[], Iterable[str]],
    ) -> None:
        self._store = store
        self._environments = environments
        self._settings = settings
        self._in_use = in_use
        self._fetches: dict[str, asyncio.Task[bool]] = {}
        self._whole: set[str] = set()  # compared with their archive since the start, or made since
        self._touched: dict[str, float] = {}  # time.monotonic
        # fetched, built; kept: for the others; damaged: here or there; failed: this server's disk did not take it
        self.counts: Counter[str] = Counter()
        self._coming = 0  # bytes of what is being fetched
        self._failed: dict[str, tuple[float, OSError]] = {}  # until when it is not tried again, and why

    async def run(self) -> None:
        """Say of what processes have in use that it is, for ever: runs are not the only ones."""
        while True:
            names = [Path(path).name for path in self._in_use() if path]
            for name in names:
                await asyncio.to_thread(self._touch, name)
            await asyncio.sleep(_STANDING_S)

    async def close(self) -> None:
        """End what is being fetched; it leaves nothing."""
        for task in list(self._fetches.values()):
            await end(task)

    async def use(self, name: str) -> bool:
        """Note that an environment is about to be used; False: it is not here, or no longer."""
        if name in self._whole and self._touched.get(name, -_TOUCH_S) > time.monotonic() - _TOUCH_S:
            return True
        there = await asyncio.to_thread(self._touch, name)
        return there and await self._is_whole(name)

    async def fetch(self, name: str) -> bool:
        """See to it that an environment is here, whole, if it is kept; False: it is not. Raises Unavailable, OSError.

        One fetch at a time, however many wait for it; if all that wait go away, it goes on.
        """
        task = self._fetches.get(name)
        if task is None:
            until, failure = self._failed.get(name, (0.0, OSError()))
            if until > time.monotonic():
                raise OSError(*failure.args)
            task = self._fetches[name] = asyncio.create_task(self._fetched(name))
            task.add_done_callback(lambda done: self._ended(name, done))
        return await asyncio.shield(task)

    async def make(self, name: str, build: Callable[[], Awaitable[None]], writing: BuildLog) -> None:
        """See to it that an environment is here and kept: fetched, or built by one of the servers.

        Raises TakesTooLong, what ``build`` raises, Unavailable, OSError.
        """
        until, told = time.monotonic() + self._settings.wait_s, False
        while True:
            # touched before it is looked for: a revision that does not say yet that it has it is about to
            if await self._store.touch_environment(name) and await self.fetch(name):
                writing.say("The same manifest was built before: its environment is used.")
                return
            if await self._store.claim_environment(name, self._settings.node, self._lease_ms):
                break
            if time.monotonic() > until:
                raise TakesTooLong
            if not told:
                told = True
                writing.say("Another server is building the same; its environment will be used.")
            await asyncio.sleep(_LOOK_S)
        try:
            if await self.use(name):  # from before it was shared, or there was no database to keep it in
                writing.say("The same manifest was built before: its environment is used.")
            else:
                await build()
                self.counts["built"] += 1
            self._whole.add(name)
            kept = await self._keep(name, writing)
        finally:
            await through(self._let_go(name))
        if not kept:
            await self._as_kept(name)

    async def room(self, need: int) -> bool:
        """Make room for so many bytes more; return whether there is. Raises Unavailable."""
        return await self._room(need + self._coming, await self._store.kept_environments())

    # within

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_s * 1000)

    def _touch(self, name: str) -> bool:
        if not self._environments.touch(name):
            self._whole.discard(name)
            return False
        self._touched[name] = time.monotonic()
        return True

    async def _is_whole(self, name: str) -> bool:
        """Compare an environment with its archive, once after each start: a disk may have lost something."""
        if name in self._whole:
            return True
        packed = await self._store.find_environment(name)
        if packed is not None:
            try:
                digest = await asyncio.to_thread(archive_digest, self._environments.path(name))
            except OSError as error:
                digest = str(error)
            if digest != packed.archive:
                self.counts["damaged"] += 1
                log.error("environment %s on this disk is not what was built; it is fetched again", name)
                await asyncio.to_thread(self._environments.remove, name)
                return False
        self._whole.add(name)
        return True

    async def _room(self, need: int, spare: Collection[str]) -> bool:
        most = self._settings.disk_bytes
        return await asyncio.to_thread(self._environments.make_room, need, most, spare=spare, idle_s=_IDLE_S)

    async def _fetched(self, name: str) -> bool:
        if await self.use(name):
            return True
        packed = await self._store.find_environment(name)
        if packed is None:
            return False
        self._coming += packed.data_bytes
        try:
            return await self._fetched_whole(packed)
        finally:
            self._coming -= packed.data_bytes

    async def _fetched_whole(self, packed: PackedEnvironment) -> bool:
        name = packed.name
        if not await self.room(0):  # all that is coming counts
            raise NoRoom(
                f"environments may have {self._settings.disk_bytes // MIB} MiB together (POLYCALL_RUNTIMES_MIB), and "
                "those in use leave too little"
            )
        begun = time.monotonic()
        unfinished = await through(asyncio.to_thread(self._environments.begin))
        try:
            await self._receive(packed, unfinished)
        except BadEnvironment as error:
            self.counts["damaged"] += 1
            log.error("environment %s that was kept for this server is damaged, and dropped: %s", name, error)
            await self._store.forget_environment(name, packed.upload)
            return False
        finally:
            await through(asyncio.to_thread(unfinished.drop))
        self._whole.add(name)
        self.counts["fetched"] += 1
        log.info(
            "fetched environment %s: %.1f MiB, %d files in %.1f s",
            *(name, packed.data_bytes / MIB, packed.file_count, time.monotonic() - begun),
        )
        return True

    async def _receive(self, packed: PackedEnvironment, unfinished: Unfinished) -> None:
        receiving = await through(
            asyncio.to_thread(Receiving, unfinished.path, data_bytes=packed.data_bytes, file_count=packed.file_count)
        )
        try:
            for seq in range(packed.pieces):
                piece = await self._store.environment_piece(packed.upload, seq)
                if piece is None:
                    raise BadEnvironment(f"piece {seq} of {packed.pieces} is missing")
                await through(asyncio.to_thread(receiving.feed, piece))
            await through(asyncio.to_thread(receiving.finish, packed.archive))
        finally:
            receiving.close()
        await through(asyncio.to_thread(unfinished.keep, packed.name))

    async def _as_kept(self, name: str) -> None:
        """Have what the others have: one that was taken for lost may end its build when another has built the same."""
        try:
            self._whole.discard(name)
            if not await self._is_whole(name):
                await self.fetch(name)
        except PolycallError as error:
            log.warning("environment %s is looked at again when it is used: %s", name, error)

    async def _keep(self, name: str, writing: BuildLog) -> bool:
        """Pack an environment and keep it for the others, who build it themselves if that cannot be; return whether."""
        packing, upload = Packing(self._environments.path(name)), new_id().hex
        kept = False
        try:
            most = _KEPT_DISKS * self._settings.disk_bytes
            if await self._store.kept_environment_bytes() >= most:
                log.error("environments that are kept for other servers have %d MiB: no more are kept", most // MIB)
                writing.say(
                    f"What is kept for other servers has {most // MIB} MiB, {_KEPT_DISKS} times POLYCALL_RUNTIMES_MIB: "
                    "each server builds this one for itself. Delete runtimes that nobody needs."
                )
                return False
            pieces = packing.pieces()
            while (piece := await through(asyncio.to_thread(next, pieces, None))) is not None:
                if packing.size_bytes > self._settings.packed_bytes:
                    writing.say(
                        f"It is larger than {self._settings.packed_bytes // MIB} MiB packed "
                        "(POLYCALL_SHARED_RUNTIME_MIB): each server builds it for itself."
                    )
                    return False
                await self._store.add_environment_piece(upload, packing.pieces_made - 1, piece)
            kept = await self._store.keep_environment(
                PackedEnvironment(
                    name=name,
                    archive=packing.archive,
                    upload=upload,
                    pieces=packing.pieces_made,
                    size_bytes=packing.size_bytes,
                    data_bytes=packing.data_bytes,
                    file_count=packing.file_count,
                )
            )
            self.counts["kept"] += kept
        except (PolycallError, OSError) as error:
            log.warning(
                "environment %s could not be kept for other servers, which build it themselves: %s", name, error
            )
            writing.say("It could not be kept for other servers, which build it for themselves.")
        finally:
            if not kept:
                await through(self._drop_pieces(upload, packing.pieces_made))
        return kept

    async def _drop_pieces(self, upload: str, pieces: int) -> None:
        try:
            await self._store.drop_environment_pieces(upload, pieces)
        except PolycallError:
            log.info("%d pieces of an environment that nobody has are left to the next sweep", pieces)

    async def _let_go(self, name: str) -> None:
        try:
            await self._store.let_environment_go(name, self._settings.node)
        except PolycallError:
            log.warning("others wait for the lease of this server's claim on environment %s", name)

    def _ended(self, name: str, task: asyncio.Task[bool]) -> None:
        del self._fetches[name]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, OSError):
            self.counts["failed"] += 1
            log.error("environment %s could not be put on this server's disk: %s", name, error)
            self._failed[name] = (time.monotonic() + _AGAIN_S, error)
        else:
            self._failed.pop(name, None)
