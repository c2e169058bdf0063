"""How a server process begins: its sandbox starts while the rest of the house is still being imported.

To import everything takes longer than anything else of a start, and a sandbox's processes have a processor of their own
to start on. What is imported here, and below, is what a sandbox needs and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sysconfig
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from polycall.allocator import collect_seldom
from polycall.config import Settings
from polycall.datadir import make_data_dir
from polycall.errors import PolycallError
from polycall.member import Member, share_of
from polycall.runtimes.environments import Environments
from polycall.sandboxing import sandbox_ended, started_sandbox
from polycall.serving import Ready, ServeError, Signals, listening, unless
from polycall_gateway.errors import GatewayError

if TYPE_CHECKING:
    from polycall.running import App

__all__ = ["serve"]

_SECRETS = ("POLYCALL_BOOTSTRAP_KEY", "POLYCALL_DATABASE_URL", "POLYCALL_DOMO_APP_KEY", "POLYCALL_ENCRYPTION_KEY")
_RUNTIMES = "runtimes"  # in the data directory
# Connections, and some six for every process of a sandbox; 1024, the usual soft limit, is not enough for both.
_OPEN_FILES = 65_536


async def serve(
    settings: Settings, *, ready: Callable[[Ready], Awaitable[None]] | None = None, member: Member | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain; a second one ends the grace. Leaves no process.

    ``member``: this process is one of several; who started them holds the data directory and runs the gateway.

    Raises ServeError: it does not start, does not stay, or could not write everything before its end.
    """
    begun = time.monotonic()
    for name in _SECRETS:
        os.environ.pop(name, None)  # no other process shall inherit them
    _raise_open_files()
    # Python 3.11 fills this in sight of other threads: who asks meanwhile, as Deno's package and zoneinfo do when they
    # are looked for and imported side by side below, is told of no suffix of programs and of no place of time zones.
    sysconfig.get_config_vars()
    with listening(supervised=member is not None) as signals:
        async with contextlib.AsyncExitStack() as stack:
            try:
                app = await unless(signals.stop, stack.enter_async_context(_running(settings, signals, member)))
            except (PolycallError, GatewayError, OSError) as error:
                raise ServeError.of(error, settings.data_dir) from error
            if app is None:
                return
            if ready is not None:
                await unless(signals.stop, _told(ready, replace(app.ready, seconds=time.monotonic() - begun)))
            failure = await app.until(signals.stop)
        if failures := [*filter(None, (failure, app.unwritten))]:
            raise ServeError(" ".join(failures))


async def _told(ready: Callable[[Ready], Awaitable[None]], what: Ready) -> None:
    await ready(what)


@contextlib.asynccontextmanager
async def _running(settings: Settings, signals: Signals, member: Member | None) -> AsyncIterator[App]:
    place = member or Member(index=0, count=1, node=uuid.uuid4().hex, living=(), first=True, sockets=Path(), key="")
    settings = share_of(settings, place.count)
    data_dir = make_data_dir(settings.data_dir)
    environments = Environments(data_dir / _RUNTIMES)
    sandbox = asyncio.create_task(started_sandbox(settings, environments, place))
    try:
        # in a thread: the sandbox's processes are heard by this one, with which they would die
        house = await asyncio.to_thread(_house)
        async with house(settings, signals, place, data_dir, environments, sandbox) as app:
            yield app
    finally:
        await sandbox_ended(sandbox)


def _house() -> Callable[..., contextlib.AbstractAsyncContextManager[App]]:
    """Import everything else, and return what builds it."""
    from polycall.app import running

    collect_seldom()
    return running


def _raise_open_files() -> None:
    """Take as many open files as the system lets us: what strangers connect with must not be missing for runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
