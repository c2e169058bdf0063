"""How functions of a connection are run; one executor a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

__all__ = ["Executor"]

P = ParamSpec("P")
T = TypeVar("T")


class Executor(Protocol):
    """Runs synchronous functions ``work(connection, ...)`` against one database.

    ``work`` has no effect beyond its connection, since it may be run twice: a group commit that fails is taken apart
    and its parts are run again. All methods raise what ``work`` raises, and Unavailable if the database is away.
    """

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Open the database and run ``prepare`` (migrations) in a transaction of its own."""

    async def stop(self) -> None:
        """Finish what waits, close. Stopping twice is harmless."""

    def end_in(self, seconds: float) -> None:
        """Wait so long for a database elsewhere, and no longer: what is not done by then raises Unavailable."""

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that only reads; it sees everything that was committed before."""

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a transaction that is on disk when this returns."""

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function whose first statement is all it writes: as ``write``, without the cost of a transaction."""

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a transaction that survives a crash of the server, yet perhaps not one of the machine."""
