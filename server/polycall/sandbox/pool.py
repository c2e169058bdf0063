"""The processes of a sandbox: fresh ones waiting, warm ones kept, none leaked.

Fresh children are forked ahead of their runs and locked in while they wait: always those of the default kind, those of
another kind from its first use on, until it has not been used for a while. Each image has zygotes of its own, so what
one of them takes to start delays nobody else. A child that has served a keyed run may stay as warm worker of its
program. At most so many processes exist at once as there are slots: warm workers that idle and children that wait never
keep a run from its process, they are ended, least recently used first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial

from polycall.domain import DEFAULT_WARM, StartKind, WarmPolicy
from polycall.quick import dataclass
from polycall.sandbox.brood import Brood
from polycall.sandbox.child import Child
from polycall.sandbox.disk import Disk
from polycall.sandbox.image import DEFAULT_IMAGE, Image, Kind
from polycall.sandbox.job import Job, WorkerKey
from polycall.sandbox.keeper import Keeper
from polycall.sandbox.orders import Program, program_of
from polycall.sandbox.shelf import Shelf, ShelfConfig
from polycall.sandbox.slots import Slot, Slots
from polycall.sandbox.spawner import Spawner, SpawnerError
from polycall.sandbox.standing import Standing
from polycall.sandbox.zygotes import Zygotes
from polycall.structs import cstruct

__all__ = ["Lease", "Pool", "PoolConfig", "PoolCounts", "PoolError"]

_log = logging.getLogger(__name__)

# Set-up takes 3 ms; on a machine under full load a hundred times that.
_READY_S = 10.0
# How long a run waits for a zygote that has died to be replaced, or for the first of its image.
_ZYGOTE_S = 15.0
_FAILING_S = 1.0  # the same, where the last attempt has failed
_ATTEMPTS = 4
_FIRST_BACKOFF_S = 0.05
# After a zygote's death its children's slots are looked at so often, and given up after so many looks.
_QUARANTINE_S, _QUARANTINE_LOOKS = 0.05, 100
_LIE_LOOKS = 10  # of a child that is said to have ended
# A small bundle rides along in the disk of a run; a larger one is added to it, in whole steps.
_RIDES_ALONG, _DISK_STEP = 64 << 10, 1 << 20
# So many files it holds beside what the run makes; with more, the run gets room for them.
_FEW_FILES = 256
# How often kinds that are not used any more are looked for.
_SWEEP_S = 5.0
# What is of no use for another run ends at the next look; whoever has just asked for it gets it.
_PASSING_S = 1.0

_DEFAULT_KIND = Kind()


class PoolError(Exception):
    """Raised when no process can be had for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Sizes and ages; see ``SandboxConfig``."""

    waiting: int
    shelf: ShelfConfig
    warm_calls: int
    warm_age_s: float
    warm_growth_bytes: int
    zygote_forks: int
    zygote_age_s: float
    kind_idle_s: float
    images: int
    image_idle_s: float
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCounts:
    """How many processes there are: fresh ones that wait, warm ones that idle, busy ones; what the warm ones hold."""

    waiting: int
    idle: int
    busy: int
    warm_bytes: int


@cstruct(slots=True, eq=False)
class Lease:
    """A child for one run. ``key`` becomes None if the child must not be used again."""

    child: Child
    start_kind: StartKind
    key: WorkerKey | None
    program: Program
    policy: WarmPolicy = DEFAULT_WARM
    brood: Brood | None = None  # one less waits there now


@dataclass(slots=True, eq=False)
class _Nest:
    """The zygotes of one image, and what keeps them young."""

    zygotes: Zygotes
    keeper: Keeper
    used: float  # when a run asked last (time.monotonic)


class Pool:
    """Gives children to runs and takes them back."""

    def __init__(
        self,
        config: PoolConfig,
        slots: Slots,
        make_spawner: Callable[[Image, Callable[[Spawner], None]], Spawner],
        warm: Callable[[Job], Awaitable[bool]],
    ) -> None:
        self._config = config
        self._slots = slots
        self._disk = Disk.of(config.disk_bytes)  # of children that wait
        self._make_spawner = make_spawner
        self._nests: dict[Image, _Nest] = {}
        self._broods: dict[Kind, Brood] = {}
        self._leases: set[Lease] = set()
        self._standing = Standing(have=self._have, room=self._has_room, warm=warm)
        self._shelf = Shelf(config.shelf, busy=self._busy, reserved=self._standing.reserved, worn=self._is_worn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._sleepers: set[asyncio.Future[None]] = set()  # wait for a slot or a zygote
        self._closing = False

    async def start(self) -> None:
        """Start a zygote and the first child of the default kind. Raises SpawnerError, OSError."""
        await self._nest(DEFAULT_IMAGE).zygotes.renew()
        brood = self._brood(_DEFAULT_KIND)
        brood.put(await self._fork(self._slots.take(), _DEFAULT_KIND, self._disk))
        brood.fill()
        self._sweep_later()

    async def stop(self) -> None:
        """End every process and return when all are gone. Runs end as lost."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._standing.stop()
        await asyncio.gather(*(nest.keeper.stop() for nest in self._nests.values()))
        await asyncio.gather(*(brood.stop() for brood in self._broods.values()))
        self._wake()
        await asyncio.gather(*(nest.zygotes.stop() for nest in self._nests.values()))
        self._shelf.close()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def pids(self) -> tuple[int, ...]:
        """The zygotes' processes, the default image's last; all others descend from them."""
        others = [pid for image, nest in self._nests.items() if image != DEFAULT_IMAGE for pid in nest.zygotes.pids]
        return (*others, *self._nests[DEFAULT_IMAGE].zygotes.pids) if self._nests else ()

    # for runs

    async def acquire(self, job: Job) -> Lease:
        """Return a ready child, to be handed back by ``release``. Raises PoolError."""
        program: Program = ()
        self._nest(job.image).used = time.monotonic()
        if job.key is not None:
            program = program_of(job)
            warm = self._shelf.take(job.key, program) if not job.load_only else None
            if warm is not None:
                return self._lease(warm, StartKind.WARM, job, program)
        disk, kind = self._disk_for(job), Kind(job.image, job.egress is not None)
        brood = self._brood(kind)
        while True:
            child, start_kind = await self._fresh(brood, kind, disk)
            if child.usable:
                return self._lease(child, start_kind, job, program, brood)

    def _lease(self, child: Child, kind: StartKind, job: Job, program: Program, brood: Brood | None = None) -> Lease:
        child.free.clear()
        lease = Lease(child, kind, job.key, program, job.warm, brood)
        self._leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Take a child back after its run: to be kept, or to be ended."""
        child = lease.child
        self._leases.discard(lease)
        now = time.monotonic()
        if lease.key is not None and child.usable:
            child.weigh(now)
        if lease.key is not None and child.usable and not self._closing and not self._is_worn(child, now):
            self._shelf.put(child, lease.key, lease.program, lease.policy, now)
            if self._sleepers:
                self._wake()  # who waits for a slot may have it ended
        else:
            child.kill()
        child.free.set()
        if lease.brood is not None and not self._closing:
            lease.brood.fill()

    def retire(self, project_id: str, package_id: str, version_id: str | None) -> None:
        """End idle warm workers of a version now, busy ones after their run."""

        def meant(key: WorkerKey | None) -> bool:
            return (
                key is not None
                and (key.project_id, key.package_id) == (project_id, package_id)
                and version_id in (None, key.version_id)
            )

        if version_id is None:
            self._standing.order(project_id, package_id, None, 0)
        self._shelf.end_where(lambda _, key: meant(key))
        for lease in self._leases:
            if meant(lease.key):
                lease.key = None

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that have processes, or had some a moment ago."""
        return tuple(self._nests)

    def ready(self, image: Image) -> bool:
        """Whether an image has a zygote."""
        nest = self._nests.get(image)
        return nest is not None and nest.zygotes.current is not None

    async def get_ready(self, image: Image) -> None:
        """Wait until an image has a zygote. Raises PoolError."""
        self._brood(Kind(image)).used = time.monotonic()  # it is not swept away before its first run
        await self._zygote(image)

    # warm workers

    def keep_ready(self, project_id: str, package_id: str, job: Job | None, count: int) -> None:
        """Have so many workers of a program ready, in place of what the package had ready."""
        self._standing.order(project_id, package_id, job, count)

    @property
    def counts(self) -> PoolCounts:
        """How many processes there are now."""
        return PoolCounts(
            waiting=sum(map(len, self._broods.values())),
            idle=len(self._shelf),
            busy=len(self._leases),
            warm_bytes=self._shelf.memory_bytes,
        )

    def _busy(self) -> Iterable[tuple[Child, WorkerKey]]:
        return ((lease.child, lease.key) for lease in self._leases if lease.key is not None)

    def _have(self, program: Program) -> int:
        return self._shelf.count(program) + sum(1 for lease in self._leases if lease.program == program and lease.key)

    def _has_room(self, ready: int) -> bool:
        # half of the places are for what is called, whatever is ordered
        most = -(-self._config.shelf.most // 2)
        return ready < most and not (self._closing or self._slots.exhausted or self._shelf.full)

    def _is_worn(self, child: Child, now: float) -> bool:
        config = self._config
        return (
            child.calls >= config.warm_calls
            or now >= child.born + config.warm_age_s
            or child.growth > config.warm_growth_bytes
        )

    # fresh children

    def _disk_for(self, job: Job) -> Disk:
        """Return what a run's file system must hold: what the run may write, and what it is given."""
        given = sum(map(len, job.bundle.files.values())) + sum(len(file.data) for file in job.files) + len(job.stdin)
        extra = 0 if given <= _RIDES_ALONG else -(-given // _DISK_STEP) * _DISK_STEP
        files, paths = 0, [*job.bundle.files, *(file.path for file in job.files)]
        if len(paths) > _FEW_FILES:
            # and their folders, of which there are at most so many
            files = len(paths) + sum(path.count("/") for path in paths)
        return Disk.of(job.limits.disk_bytes + extra, files)

    async def _fresh(self, brood: Brood, kind: Kind, disk: Disk) -> tuple[Child, StartKind]:
        if disk == self._disk and (child := await brood.take()) is not None:
            return child, StartKind.FORKED
        # nothing has run yet: a zygote that dies or a host that is out of processes for a moment need not cost the run
        for attempt in range(_ATTEMPTS):
            await self._zygote(kind.image)  # before there is a slot, which others may need meanwhile
            try:
                return await self._fork(await self._slot(), kind, disk), StartKind.COLD
            except (SpawnerError, OSError) as error:
                if self._closing or attempt == _ATTEMPTS - 1:
                    raise PoolError(str(error)) from None
                await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt)
        raise AssertionError

    async def _zygote(self, image: Image) -> None:
        """Wait until an image has a zygote. Raises PoolError."""
        nest = self._nest(image)
        if nest.zygotes.current is not None:
            return
        # what a runtime of somebody's cannot start from, it is not waited for again and again: others need the places
        failing = image != DEFAULT_IMAGE and nest.keeper.failure
        nest.keeper.want()
        try:
            async with asyncio.timeout(_FAILING_S if failing else _ZYGOTE_S):
                await self._wait_until(lambda: nest.zygotes.current is not None)
        except TimeoutError:
            raise PoolError(f"there is no zygote: {nest.keeper.failure or 'it takes too long to start'}") from None

    async def _slot(self) -> Slot:
        while self._slots.exhausted:
            if self._shelf.end_oldest() or self._end_waiting():
                await self._wait_until(lambda: not self._slots.exhausted)
            else:
                await self._wait_until(lambda: not self._slots.exhausted or len(self._shelf) > 0)
        try:
            return self._slots.take()
        except OSError as error:
            raise PoolError(f"no cgroup can be made: {error.strerror}") from None

    def _end_waiting(self) -> bool:
        """End a waiting child of the kind that was not used for longest; False if none but the default's wait."""
        others = [brood for kind, brood in self._broods.items() if kind != _DEFAULT_KIND]
        return any(brood.end_one() for brood in sorted(others, key=lambda brood: brood.used))

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not self._closing and not condition():
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.add(sleeper)
            try:
                await sleeper
            finally:
                self._sleepers.discard(sleeper)
        if self._closing:
            raise PoolError("the sandbox is stopping")

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def _fork(self, slot: Slot, kind: Kind, disk: Disk) -> Child:
        """Start a child in a slot and wait until it is locked in. Raises SpawnerError, OSError."""
        zygote = self._nest(kind.image).zygotes.current
        try:
            if zygote is None:
                raise SpawnerError("there is no zygote")
            child = zygote.spawn(slot, disk, egress=kind.egress)
        except BaseException:
            self._give_back(slot)
            raise
        child.free.clear()
        self._own(self._bury(child, kind))
        try:
            async with asyncio.timeout(_READY_S):
                await child.connect()
                ready = await asyncio.shield(child.ready)
        except (TimeoutError, ConnectionError) as error:
            child.kill()
            raise SpawnerError(child.last_words() or str(error) or "a child took too long to get ready") from None
        except BaseException:
            child.kill()
            raise
        finally:
            child.free.set()
        _log.debug("child %d is ready; its set-up took (us) %s", child.number, ready.laps)
        return child

    async def _bury(self, child: Child, kind: Kind) -> None:
        """Wait for the end of a child and for whoever reads its last words, then free what it held."""
        exit = await child.exited
        if (brood := self._broods.get(kind)) is not None:
            brood.forget(child)
        self._shelf.forget(child)
        await child.free.wait()
        child.close()
        # who imports what others wrote may say of a child that it has ended when it has not
        believed = exit is not None and (not kind.image.preload or child.slot.group is None or child.slot.group.empty)
        if believed or await self._emptied(child, exit is not None):
            child.vacate()
            self._give_back(child.slot)
        if self._closing:
            return
        self._standing.look()
        for brood in self._broods.values():
            brood.fill()  # it may have been the want of a slot that kept it from being full
        if (nest := self._nests.get(kind.image)) is not None:
            nest.keeper.want()

    def _give_back(self, slot: Slot) -> None:
        self._slots.give_back(slot)
        self._wake()

    async def _emptied(self, child: Child, said: bool) -> bool:
        """Return whether a child has left its slot. ``said``: its zygote says so; otherwise that has died."""
        slot = child.slot
        for look in range(_QUARANTINE_LOOKS):
            if self._closing:
                return True
            await asyncio.sleep(_QUARANTINE_S)
            if slot.group is None or slot.group.empty:
                return True
            if said and look == _LIE_LOOKS:
                # what was reaped is gone, so this was a lie; with the zygote all ends that it has made
                child.deny_end()
        _log.warning("slot %d is still occupied after its zygote died and is not used again", slot.index)
        return False

    # images and kinds

    def _nest(self, image: Image) -> _Nest:
        """Return the zygotes of an image. The first use of an image makes place for it."""
        nest = self._nests.get(image)
        if nest is None:
            zygotes = Zygotes(
                partial(self._make_spawner, image),
                most_forks=self._config.zygote_forks,
                most_age_s=self._config.zygote_age_s,
                died=lambda: keeper.want(),
                crowded=lambda old: self._shelf.end_where(lambda child, _: old.owns(child)),
            )
            keeper = Keeper(partial(self._renew, image, zygotes))
            nest = self._nests[image] = _Nest(zygotes, keeper, time.monotonic())
        return nest

    def _brood(self, kind: Kind) -> Brood:
        """Return the waiting children of a kind, of which there are none before its first use."""
        brood = self._broods.get(kind)
        if brood is None:
            most = 0 if kind.image.passing else self._config.waiting
            brood = Brood(most, partial(self._room, kind), partial(self._fork_to_wait, kind))
            self._broods[kind] = brood
        return brood

    def _room(self, kind: Kind) -> int:
        zygote = self._nest(kind.image).zygotes.current
        return self._slots.left if zygote is not None else 0

    async def _fork_to_wait(self, kind: Kind) -> Child | None:
        if self._slots.exhausted:
            return None
        return await self._fork(self._slots.take(), kind, self._disk)

    async def _renew(self, image: Image, zygotes: Zygotes) -> None:
        """Keep an image's zygote young, beside everything else: it takes a new one half a second to get ready."""
        if await zygotes.renew():
            self._wake()
            for kind, brood in self._broods.items():
                if kind.image == image:
                    brood.fill()

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(min(_SWEEP_S, self._config.kind_idle_s), self._sweep)

    def _sweep(self) -> None:
        """End what waits of kinds that are not used any more, then images that are not and have no children."""
        self._sweep_later()
        self._standing.look()  # what did not load, or had no room
        now = time.monotonic()
        for kind, brood in list(self._broods.items()):
            end = brood.used + self._config.kind_idle_s
            if kind.image.passing:  # nobody takes from its brood
                end = self._nest(kind.image).used + _PASSING_S
            if kind != _DEFAULT_KIND and now >= end:
                self._end_kind(kind)
        kept = [image for image in self._nests if image.revision and not image.passing]
        kept.sort(key=lambda image: self._nests[image].used)
        surplus = set(kept[: max(0, len(kept) - self._config.images)])
        for image in [image for image in self._nests if image != DEFAULT_IMAGE]:
            nest = self._nests[image]
            if image in surplus:
                for kind in [kind for kind in self._broods if kind.image == image]:
                    self._end_kind(kind)
                self._shelf.end_where(lambda child, _, zygotes=nest.zygotes: zygotes.own(child))  # type: ignore[misc]
            idle_s = _PASSING_S if image.passing else self._config.image_idle_s
            unused = image in surplus or now >= nest.used + idle_s
            if unused and nest.zygotes.childless and not any(kind.image == image for kind in self._broods):
                del self._nests[image]
                self._own(self._end_nest(nest))

    def _end_kind(self, kind: Kind) -> None:
        if not (brood := self._broods[kind]).busy and not any(lease.brood is brood for lease in self._leases):
            del self._broods[kind]
            self._own(brood.stop())

    async def _end_nest(self, nest: _Nest) -> None:
        await nest.keeper.stop()
        await nest.zygotes.stop()

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
