"""The supervisor: starts the server processes and the gateway, starts anew what dies, ends them all.

It speaks no gRPC and serves nothing, so there is little that could end it. If something does, everything ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from polycall.config import Settings
from polycall.datadir import LOCK_FILE, kept_bootstrap_key, make_data_dir, socket_directory
from polycall.engine.tasks import end
from polycall.errors import PolycallError
from polycall.family.address import reserved
from polycall.family.orphans import bury
from polycall.family.process import Process, ProcessFailed, Said
from polycall.gateway import gateway_config
from polycall.member import Member
from polycall.quick import dataclass
from polycall.sandbox.cgroup import sweep_cgroups
from polycall.serving import Ready, ServeError, Signals, listening, unless
from polycall.store.directory import DirectoryLock
from polycall.supervision import SupervisedEnvoy
from polycall_gateway.errors import GatewayError

__all__ = ["serve"]

# One that dies at once is started again later and later: what it dies of may pass.
_FIRST_RESTART_S, _LAST_RESTART_S = 0.1, 5.0
_STEADY_S = 30.0  # one that has served for so long begins with the first again
_MOST_FAILURES, _WITHIN_S = 10, 60.0  # a server that cannot stay up is for the operator to see
# Beyond the grace: notice, kills of runs, last writes, last answers (20 s, docs/operations.md), and the end of the
# sandbox. Then there is time left to kill it and to end Envoy before whoever allows the grace and 30 s kills us.
_END_S = 24.0

log = logging.getLogger(__name__)


async def serve(settings: Settings, *, ready: Callable[[Ready], Awaitable[None]] | None = None) -> None:
    """Serve with several processes until SIGTERM or SIGINT, then let all of them drain; a second one ends the grace.

    Raises ServeError: they do not start, or do not stay.
    """
    begun = time.monotonic()
    failures: list[str] = []
    with listening() as signals:
        async with contextlib.AsyncExitStack() as stack:
            try:
                family = await unless(signals.stop, stack.enter_async_context(_running(settings, signals, failures)))
            except (PolycallError, GatewayError, OSError) as error:
                raise ServeError.of(error, settings.data_dir) from error
            if family is not None and ready is not None:
                told = replace(family.ready(), seconds=time.monotonic() - begun)
                await unless(signals.stop, _told(ready, told))
            if family is not None and (failure := await family.until(signals.stop)):
                failures.append(failure)
        if failures:
            raise ServeError(" ".join(failures))


async def _told(ready: Callable[[Ready], Awaitable[None]], what: Ready) -> None:
    await ready(what)


@contextlib.asynccontextmanager
async def _running(settings: Settings, signals: Signals, faults: list[str]) -> AsyncIterator[_Family]:
    """Run all of them; ``faults`` is told what went wrong at the end, process by process."""
    async with contextlib.AsyncExitStack() as stack:
        data_dir = make_data_dir(settings.data_dir)
        lock = DirectoryLock(data_dir / LOCK_FILE)
        lock.acquire()  # for all of them
        stack.callback(lock.release)
        sockets = stack.enter_context(socket_directory(data_dir))
        key, key_file = (settings.bootstrap_key, None) if settings.bootstrap_key else kept_bootstrap_key(data_dir)
        address = stack.enter_context(reserved(settings.grpc_address))
        envoy = SupervisedEnvoy(gateway_config(settings, sockets)) if settings.gateway else None
        family = _Family(replace(settings, grpc_address=address), sockets, key, key_file, envoy)
        if envoy is not None:
            stack.push_async_callback(envoy.stop)
        stack.push_async_callback(family.stop, signals.now, faults)
        await family.start()
        if envoy is not None:
            await envoy.start()
            stack.push_async_callback(envoy.drain)
        yield family


@dataclass(slots=True)
class _Place:
    """One place in the family, and who has it: until its end has been taken note of."""

    node: str
    process: Process | None = None


class _Family:
    """The processes, each in its place."""

    def __init__(
        self, settings: Settings, sockets: Path, key: str, key_file: Path | None, envoy: SupervisedEnvoy | None
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._key = key
        self._key_file = key_file
        self._envoy = envoy
        # named before any is started, so that each knows which executions are the others'
        self._places = [_Place(uuid.uuid4().hex) for _ in range(settings.processes)]
        self._said: list[Said] = []
        self._failures: deque[float] = deque()

    async def start(self) -> None:
        """Start all of them, and wait until all serve. Raises ServeError."""
        try:
            # one first: it migrates the database, and clears away what earlier families left
            self._said = [await self._start(0, first=True)]
            async with asyncio.TaskGroup() as group:
                started = [group.create_task(self._follow(index)) for index in range(1, len(self._places))]
        except ProcessFailed as failure:
            raise ServeError(str(failure)) from None  # the others would say the same
        except ExceptionGroup as failures:
            raise ServeError(str(failures.exceptions[0])) from None
        self._said += [task.result() for task in started]

    def ready(self) -> Ready:
        """Return what is told once they serve."""
        return Ready(
            rest_address=self._envoy.addresses.get("rest", "") if self._envoy is not None else "",
            grpc_address=self._settings.grpc_address,
            isolation=min(said.isolation for said in self._said),
            interpreters=self._said[0].interpreters,
            key=self._key,
            key_file=self._key_file,
            seconds=0.0,
            processes=len(self._places),
        )

    async def until(self, stop: asyncio.Event) -> str:
        """Keep them running until the signal. Returns why, if it is something else that ended."""
        waiting = asyncio.create_task(stop.wait())
        watches = [asyncio.create_task(self._keep(index)) for index in range(len(self._places))]
        if self._envoy is not None:
            watches.append(asyncio.create_task(self._envoy.watch()))
        try:
            done, _ = await asyncio.wait((waiting, *watches), return_when=asyncio.FIRST_COMPLETED)
            return next((task.result() for task in watches if task in done), "")
        finally:
            for task in (waiting, *watches):
                await end(task)

    async def stop(self, now: asyncio.Event, faults: list[str]) -> None:
        """Let all drain and end; ``now`` ends the grace. Tells ``faults`` what went wrong with whom."""
        ending = [(index, place.process) for index, place in enumerate(self._places) if place.process is not None]
        for _, process in ending:
            process.terminate()
        late = await self._ended([process for _, process in ending], now)
        for index, process in ending:
            fault = await process.fault()
            if process in late:
                fault = "It did not end in its time and was killed."
            if fault:
                log.error("server process %d (pid %d) did not stop as it should: %s", index, process.pid, fault)
                faults.append(f"Server process {index} did not stop as it should: {fault}")
        if faults:
            await asyncio.to_thread(sweep_cgroups)  # of who was killed; else the next start does it

    async def _ended(self, processes: list[Process], now: asyncio.Event) -> list[Process]:
        """Wait until all have ended; return those that did not in time, and were killed."""
        bound = asyncio.timeout(self._settings.drain_grace_s + _END_S)
        hurrying = asyncio.create_task(_hurry(now, processes, bound))
        late: list[Process] = []
        try:
            async with bound:
                for process in processes:
                    await process.wait()
        except TimeoutError:
            late = [process for process in processes if process.alive]
            for process in late:
                process.kill()
            for process in late:
                await process.wait()
        finally:
            await end(hurrying)
        return late

    async def _keep(self, index: int) -> str:
        """Start a process again whenever it ends; return why once processes end too often."""
        place, pause_s = self._places[index], _FIRST_RESTART_S
        while True:
            since = time.monotonic()
            assert place.process is not None  # noqa: S101
            why = await place.process.fault() or "It ended, though nobody here has asked for it."
            place.process = None
            while True:
                if time.monotonic() - since > _STEADY_S:
                    pause_s = _FIRST_RESTART_S
                log.error("server process %d: %s Another one takes its place in %.1f s", index, why, pause_s)
                if self._fails_too_often():
                    return (
                        f"Server processes failed {_MOST_FAILURES + 1} times within a minute; the last one was number "
                        f"{index}: {why}"
                    )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_RESTART_S)
                place.node = uuid.uuid4().hex  # what its predecessor ran is nobody's from now on
                try:
                    await self._start(index)
                except ProcessFailed as failure:
                    why = f"It does not start: {failure}"
                else:
                    log.warning("server process %d was started again", index)
                    bury(self._children())  # what the dead one had below it has ended by now
                    break

    def _children(self) -> set[int]:
        children = {place.process.pid for place in self._places if place.process is not None}
        if self._envoy is not None and self._envoy.pid is not None:
            children.add(self._envoy.pid)
        return children

    def _fails_too_often(self) -> bool:
        now = time.monotonic()
        self._failures.append(now)
        while self._failures[0] < now - _WITHIN_S:
            self._failures.popleft()
        return len(self._failures) > _MOST_FAILURES

    async def _start(self, index: int, *, first: bool = False) -> Said:
        place = self._places[index]
        member = Member(
            index=index,
            count=len(self._places),
            node=place.node,
            living=tuple(other.node for other in self._places if other is not place),
            first=first,
            sockets=self._sockets,
            key=self._key,
        )
        try:
            place.process = process = Process(member, self._settings)
        except OSError as error:
            raise ProcessFailed(f"It cannot be made: {error.strerror}.") from error
        try:
            return await process.ready()  # whoever is cancelled here leaves its end to `stop`
        except ProcessFailed:
            process.kill()
            await process.fault()
            place.process = None
            raise

    async def _follow(self, index: int) -> Said:
        """Start one of those that come after the first. Raises ProcessFailed, which says of whom."""
        try:
            return await self._start(index)
        except ProcessFailed as failure:
            raise ProcessFailed(f"Server process {index} does not start: {failure}") from None


async def _hurry(now: asyncio.Event, processes: list[Process], bound: asyncio.Timeout) -> None:
    await now.wait()
    bound.reschedule(min(bound.when() or math.inf, asyncio.get_running_loop().time() + _END_S))
    for process in processes:
        process.hurry()
