"""The queue of builds: durable in the store, worked off one at a time, taken up again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import replace

from polycall.domain import RevisionState, RuntimeRevision
from polycall.engine.building import Builder, BuildFailed
from polycall.engine.buildlog import BuildLog
from polycall.engine.siblings import ALONE, BuildAsked, Siblings
from polycall.engine.tasks import end
from polycall.errors import PolycallError, QueueFull, Unavailable
from polycall.ids import now_ms
from polycall.store.protocol import RuntimeStore

__all__ = ["Builds"]

log = logging.getLogger(__name__)

_UNFINISHED = tuple(state for state in RevisionState if not state.final)
# Between attempts to write the end of a build while the database is away.
_RETRY_S = 1.0
_LOOK_S = 5.0  # after what lost servers have left; a lease is as long
_BUSY_S = 30.0  # a build takes some seconds; when to come back if many wait

_Key = tuple[str, str]  # project, revision


class Builds:
    """Builds revisions, those of a project in the order they came, the projects in turn.

    ``most`` may wait, ``at_once`` are built. A build may take minutes, so nobody gets all places: a project may have as
    many waiting as there are places left.
    """

    def __init__(
        self, store: RuntimeStore, builder: Builder, *, most: int, at_once: int, siblings: Siblings = ALONE
    ) -> None:
        self.builder = builder
        self._siblings = siblings
        self._store = store
        self._most = most
        self._at_once = at_once
        self._waiting: OrderedDict[str, deque[RuntimeRevision]] = OrderedDict()  # by project; the next one first
        self._some = asyncio.Condition()
        self._logs: dict[_Key, BuildLog] = {}
        self._building: dict[_Key, tuple[RuntimeRevision, asyncio.Task[None]]] = {}
        self._ends: dict[_Key, asyncio.Event] = {}
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what an earlier server left, and begin. Raises Unavailable."""
        for revision in await self._store.unfinished_revisions():
            if await self._siblings.tell(BuildAsked(revision.project_id, revision.id)):
                continue  # another process of this machine has it
            if revision.state is RevisionState.BUILDING:
                log.warning("the build of runtime revision %s was interrupted and begins anew", revision.id)
            self._enqueue(revision)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._at_once)]
        async with self._some:
            self._some.notify_all()

    async def watch(self) -> None:
        """Take up, for ever, what a server that was lost has left: what nobody has at two looks in a row."""
        left: set[_Key] = set()
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                found = [r for r in await self._store.unfinished_revisions() if not self.has(*_key(r))]
                nobodys = [r for r in found if not await self._siblings.tell(BuildAsked(r.project_id, r.id))]
            except PolycallError as error:
                log.warning("builds that others have left are looked for again: %s", error)
                continue
            for revision in nobodys:
                if _key(revision) in left and not self.has(*_key(revision)):
                    log.warning("took over the build of runtime revision %s from a server that was lost", revision.id)
                    await self.submit(revision)
            left = {_key(revision) for revision in nobodys}

    async def stop(self) -> None:
        """Kill what is being built; it stays BUILDING in the store, for the next start."""
        for worker in self._workers:
            await end(worker)
        self._workers = []

    def check_room(self, project_id: str) -> None:
        """Raise QueueFull if as many builds wait as may wait, of all projects or of this one."""
        waiting, own = sum(map(len, self._waiting.values())), len(self._waiting.get(project_id, ()))
        if waiting >= self._most or own > self._most - waiting:
            raise QueueFull(
                f"{waiting} builds of runtimes are waiting, {own} of them of this project, which is the most "
                "(POLYCALL_BUILD_QUEUE). Nothing was kept; try again later.",
                subject="builds",
                retry_after_s=_BUSY_S,
                metadata={"waiting": str(waiting)},
            )

    async def submit(self, revision: RuntimeRevision) -> None:
        """Have a PENDING revision built that the store has."""
        self._enqueue(revision)
        async with self._some:
            self._some.notify()

    def live(self, revision: RuntimeRevision) -> RuntimeRevision:
        """Return a revision with the log of its build so far, if it is being built here."""
        writing = self._logs.get(_key(revision))
        if writing is None or revision.state.final:
            return revision
        return replace(revision, log=writing.text(), log_truncated=writing.truncated)

    def has(self, project_id: str, revision_id: str) -> bool:
        """Whether a build waits or runs here."""
        return (project_id, revision_id) in self._ends

    async def ended(self, revision: RuntimeRevision, timeout_s: float) -> None:
        """Wait until a build that waits or runs here has ended, but no longer than that."""
        event = self._ends.get(_key(revision))
        if event is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await event.wait()
            except TimeoutError:
                return

    def forget(self, project_id: str, runtime_id: str) -> None:
        """Drop and kill the builds of a runtime that was deleted."""
        whose = (project_id, runtime_id)
        for revision in [r for r in self._waiting.get(project_id, ()) if r.runtime_id == runtime_id]:
            self._waiting[project_id].remove(revision)
            self._done(revision)
        if not self._waiting.get(project_id, True):
            del self._waiting[project_id]
        for revision, task in self._building.values():
            if (revision.project_id, revision.runtime_id) == whose:
                task.cancel()

    def _enqueue(self, revision: RuntimeRevision) -> None:
        self._ends.setdefault(_key(revision), asyncio.Event())
        self._waiting.setdefault(revision.project_id, deque()).append(revision)

    def _next(self) -> RuntimeRevision:
        project_id, revisions = self._waiting.popitem(last=False)
        revision = revisions.popleft()
        if revisions:
            self._waiting[project_id] = revisions  # behind the other projects
        return revision

    def _done(self, revision: RuntimeRevision) -> None:
        self._logs.pop(_key(revision), None)
        if (event := self._ends.pop(_key(revision), None)) is not None:
            event.set()

    async def _work(self) -> None:
        while True:
            async with self._some:
                await self._some.wait_for(lambda: self._waiting)
                revision = self._next()
            task = asyncio.create_task(self._build(revision))
            self._building[_key(revision)] = (revision, task)
            try:
                await asyncio.wait([task])
            finally:
                await end(task)  # only if this worker is being ended itself
                del self._building[_key(revision)]
                self._done(revision)

    async def _build(self, revision: RuntimeRevision) -> None:
        started = replace(revision, state=RevisionState.BUILDING, started_at=now_ms())
        if not await self._write(started):
            return  # deleted meanwhile
        writing = self._logs[_key(revision)] = BuildLog()
        try:
            built = await self.builder.build(revision, writing)
            ended = replace(
                started,
                state=RevisionState.READY,
                digest=built.digest,
                size_bytes=built.size_bytes,
                file_count=built.file_count,
                preload=built.preload,
            )
        except (BuildFailed, PolycallError) as error:
            ended = replace(started, state=RevisionState.FAILED, error=str(error))
        except OSError as error:
            log.error("a runtime could not be kept: %s", error)
            words = f"The server could not keep the environment: {error.strerror or error}."
            ended = replace(started, state=RevisionState.FAILED, error=words)
        except Exception:
            log.exception("the build of runtime revision %s failed", revision.id)
            ended = replace(started, state=RevisionState.FAILED, error="The server failed; its log says how.")
        if ended.error:
            writing.say(ended.error)
        ended = replace(ended, ended_at=now_ms(), log=writing.text(), log_truncated=writing.truncated)
        await self._write(ended)

    async def _write(self, revision: RuntimeRevision) -> bool:
        while True:
            try:
                return await self._store.change_revision(revision, _UNFINISHED)
            except Unavailable:
                await asyncio.sleep(_RETRY_S)


def _key(revision: RuntimeRevision) -> _Key:
    return revision.project_id, revision.id
