"""An executor that knows how long its work takes, waiting for a connection or for the writer included."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from polycall.durations import Durations
from polycall.errors import Unavailable
from polycall.store.executor import Executor

__all__ = ["MeasuredExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class MeasuredExecutor:
    """Passes everything on to another one; see ``Executor``."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.times = {how: Durations() for how in ("read", "write", "single", "relaxed")}
        self.unavailable = 0  # how often the database was away

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Start the other one."""
        await self._executor.start(prepare)

    async def stop(self) -> None:
        """Stop the other one."""
        await self._executor.stop()

    def end_in(self, seconds: float) -> None:
        """See ``Executor``."""
        self._executor.end_in(seconds)

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Executor``."""
        return await self._timed("read", self._executor.read(work, *args, **kwargs))

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Executor``."""
        return await self._timed("write", self._executor.write(work, *args, **kwargs))

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Executor``."""
        return await self._timed("single", self._executor.single(work, *args, **kwargs))

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See ``Executor``."""
        return await self._timed("relaxed", self._executor.relaxed(work, *args, **kwargs))

    async def _timed(self, how: str, work: Awaitable[T]) -> T:
        begun = time.perf_counter()
        try:
            return await work
        except Unavailable:
            self.unavailable += 1
            raise
        finally:
            self.times[how].add(time.perf_counter() - begun)
