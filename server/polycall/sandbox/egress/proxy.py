"""The proxies of all runs: what they share, and one session for each run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import field

from polycall.domain import EgressPolicy
from polycall.quick import dataclass
from polycall.sandbox.doorway import BACKLOG
from polycall.sandbox.egress.addresses import AddressFilter, Network
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.certificates import Authority as CertificateAuthority
from polycall.sandbox.egress.certificates import system_certificates
from polycall.sandbox.egress.client import Client
from polycall.sandbox.egress.ledger import Ledger
from polycall.sandbox.egress.places import Places
from polycall.sandbox.egress.policy import Allowed, Authority, Policy
from polycall.sandbox.egress.resolver import Lookup, Resolver, system_lookup
from polycall.sandbox.egress.streams import readable
from polycall.sandbox.egress.upstream import Trust, connect

__all__ = ["Egress", "EgressConfig", "Session"]

_log = logging.getLogger(__name__)

# After the server could not accept, usually because it has no descriptors left: others may give some back.
_PAUSE_S = 0.1
_BACKLOG = 2 * BACKLOG


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """Knobs. ``networks``: not public, but runs may be connected there if a rule names the host itself.

    ``anywhere``: whether rules that name no host (``*``) are followed. ``trusted``: a file of certificates that are
    trusted besides the system's (PEM), "" for none. ``connections``: of all runs at once; 0: any number. ``lookup``:
    how names are resolved.
    """

    networks: Sequence[Network] = ()
    anywhere: bool = True
    trusted: str = ""
    connections: int = 512
    bounds: Bounds = field(default_factory=Bounds)
    lookup: Lookup = system_lookup


class Egress:
    """What the sessions share. What runs have to trust is in the files ``trusted``, and ``certificate`` (PEM)."""

    def __init__(self, config: EgressConfig | None = None) -> None:
        """Make an authority: blocks some 5 ms. Raises OSError if the file ``trusted`` is not right."""
        config = config or EgressConfig()
        self._bounds = config.bounds
        self._authority = CertificateAuthority()
        self.trusted = tuple(path for path in (system_certificates(), config.trusted) if path)
        if not self.trusted:
            _log.warning("there are no trusted certificates here, so no https host can be reached (egress_ca_file)")
        self._trust = Trust(self.trusted, config.trusted)
        self._anywhere = config.anywhere
        self._places = Places(config.connections)
        self._resolver = Resolver(AddressFilter(config.networks), config.lookup)
        self.certificate = self._authority.certificate.decode("ascii")

    def close(self) -> None:
        """Let go of the threads."""
        self._resolver.close()

    @contextlib.asynccontextmanager
    async def serve(
        self, listener: socket.socket, policy: EgressPolicy, project_id: str = ""
    ) -> AsyncIterator[Session]:
        """Serve a run on its own listening socket. At the end every connection is closed, and nothing goes on."""
        turns = asyncio.Semaphore(self._bounds.lookups), self._resolver.share_of(project_id)
        session = Session(
            *(
                listener,
                Policy(policy, anywhere=self._anywhere),
                self._bounds,
                self._trust,
                self._resolver,
                turns,
                self._authority,
                self._places,
                project_id,
            )
        )
        session.begin()
        try:
            yield session
        finally:
            await session.end()


class Session:
    """The proxy of one run, or of one call of a warm worker."""

    def __init__(
        self,
        listener: socket.socket,
        policy: Policy,
        bounds: Bounds,
        trust: Trust,
        resolver: Resolver,
        lookups: Sequence[asyncio.Semaphore],
        authority: CertificateAuthority,
        places: Places,
        project_id: str,
    ) -> None:
        self.policy = policy
        self.bounds = bounds
        self.trust = trust
        self.ledger = Ledger(bounds.records)
        self._listener = listener
        self._resolver = resolver
        self._authority = authority
        self._lookups = lookups
        self._connections = asyncio.Semaphore(bounds.connections)
        self._places = places
        self._project_id = project_id
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Accept from now on. What waited already is from between two calls and belongs to none."""
        with contextlib.suppress(OSError):
            for _ in range(_BACKLOG):  # not for ever: other threads of the code may go on connecting
                self._listener.accept()[0].close()
        self._own(self._accept())

    async def end(self) -> None:
        """Close every connection."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def dial(self, authority: Authority, allowed: Allowed) -> socket.socket:
        """See ``Outside``."""
        addresses = await self._resolver.resolve(
            authority, listed=allowed.listed, any_address=allowed.any_address, turns=self._lookups
        )
        return await connect(addresses, authority, self.bounds)

    def certify(self, host: str) -> ssl.SSLContext:
        """See ``Outside``."""
        return self._authority.context(host)

    async def _accept(self) -> None:
        while True:
            await self._connections.acquire()
            await readable(self._listener)
            try:
                sock, _ = self._listener.accept()  # not awaited: when cancelled meanwhile, nobody would have it
            except OSError as error:
                self._connections.release()
                if not isinstance(error, BlockingIOError):
                    _log.warning("a run's connection cannot be accepted: %s", error.strerror)
                    await asyncio.sleep(_PAUSE_S)
                continue
            sock.setblocking(False)
            placed = self._places.take(self._project_id)
            task = self._own(self._serve(sock, placed))
            # a task may be cancelled before it begins
            task.add_done_callback(functools.partial(self._ended, sock, placed))

    def _ended(self, sock: socket.socket, placed: bool, _: asyncio.Task[None]) -> None:
        sock.close()
        if placed:
            self._places.give_back(self._project_id)
        self._connections.release()

    async def _serve(self, sock: socket.socket, placed: bool) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await Client(sock, self, placed=placed).serve()
        except Exception:
            # ours: what a run or a server sends raises what Client knows of
            _log.exception("a connection of a run failed")

    def _own(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
