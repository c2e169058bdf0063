"""The deliverer: sends notifications, each to its end.

Every server process looks, on the database's clock, and claims; what it claims is its own until the claim ends. A
notification is sent at least once: a server that is killed between the receiver's answer and its record of it leaves
one that is sent again, with the same ``webhook-id``. However slowly one receiver answers, it holds up its own lane
alone, a project and a host; and a project with many slow ones holds up its own share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from polycall.domain import Delivery, DeliveryState, DueDelivery
from polycall.engine.complaints import complain
from polycall.engine.webhooks.backoff import Backoff
from polycall.engine.webhooks.notification import RESULT_BYTES, message_id, notification
from polycall.engine.webhooks.post import NoAnswer, Post
from polycall.engine.webhooks.signature import signature_headers, signing_place
from polycall.engine.webhooks.targets import Targets
from polycall.errors import FailedPrecondition, PolycallError, Unavailable
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.sealing import Sealer
from polycall.store.protocol import Attempted, DeliveryStore, Lane

__all__ = ["Deliverer", "Living"]

_POLL_S = 1.0  # how long an end that another server wrote, or a sweep, may be unseen
_RETRY_S = 0.2  # between attempts to record while the database is away
_CLAIM_MARGIN_S = 45.0  # beyond an attempt's own time: to record it while the database is away
_STOP_S = 5.0  # at a shutdown, for attempts under way; what is cut off then is sent again by others
_RETURN_S = 5.0  # and for the database to take them back; one that is frozen is not waited for
# At once by one server process: attempts wait for others, so they cost memory (some 100 KiB each) and no time.
_AT_ONCE, _OF_PROJECT, _OF_LANE = 64, 16, 4
_LANES = 500  # looked at each time that an attempt ends: some 5 ms of the database, whatever a project makes pending
_GONE = 410  # RFC 9110: nobody will want it any more
_SECOND_MS = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Living:
    """Which nodes are alive: ``nodes``, or, of servers that share a database, by their heartbeats (``lease_ms``)."""

    nodes: Collection[str] | None = ()
    lease_ms: int = 0


class Deliverer:
    """Sends what is due, at most 64 at once, 16 of a project, 4 of a project to a host. ``node``: this boot's name."""

    def __init__(
        self,
        store: DeliveryStore,
        sealer: Sealer,
        targets: Targets,
        post: Post,
        *,
        backoff: Backoff,
        timeout_s: float,
        node: str,
        living: Living,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._targets = targets
        self._post = post
        self._backoff = backoff
        self._claim_s = timeout_s + _CLAIM_MARGIN_S
        self._node = node
        self._living = living
        self._bell = asyncio.Event()
        self._sending: dict[asyncio.Task[None], Lane] = {}
        self._lanes: Counter[Lane] = Counter()
        self._projects: Counter[str] = Counter()
        self._places: Mapping[str, str] = {}  # where projects with too many lanes are gone on with
        self._stopping = False
        self._claiming = asyncio.Lock()
        self.attempted: Counter[DeliveryState] = Counter()  # what came of attempts here; PENDING: it is made again

    @property
    def sending(self) -> int:
        """How many attempts are under way."""
        return len(self._sending)

    def ring(self) -> None:
        """Look now: something may be due."""
        self._bell.set()

    async def run(self) -> None:
        """Send until ``stop``, or cancelled."""
        reclaim_at = 0.0
        while not self._stopping:
            self._bell.clear()
            try:
                if time.monotonic() >= reclaim_at:
                    await self._reclaim()
                    # where nobody says that he lives, those who did not are known at the start alone
                    reclaim_at = time.monotonic() + _POLL_S if self._living.nodes is None else math.inf
                wait_s = await self._look()
            except Exception as error:
                complain(log, "cannot look after deliveries", error)
                wait_s = _POLL_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._bell.wait()

    async def stop(self) -> None:
        """Claim nothing more, let attempts end for a moment, give back what has not."""
        self._stopping = True
        self._bell.set()
        async with self._claiming:  # what is being claimed now is sent, or given back with the others
            sending = set(self._sending)
        if sending:
            _, cut = await asyncio.wait(sending, timeout=_STOP_S)
            for task in cut:
                task.cancel()
            if cut:
                await asyncio.wait(cut)
        try:
            async with asyncio.timeout(_RETURN_S):
                await self._store.return_deliveries(self._node)
        except (PolycallError, TimeoutError) as error:
            why = str(error) or f"the database did not answer within {_RETURN_S:g} s"
            log.warning("deliveries that were cut off are sent again in %g s: %s", self._claim_s, why)
        self._post.close()

    # looking

    async def _reclaim(self) -> None:
        count = await self._store.reclaim_deliveries(self._living.nodes, self._living.lease_ms)
        if count:
            log.warning("took over %d deliveries from servers that were lost", count)

    async def _look(self) -> float:
        """Begin what is due and has room; return for how long nothing is."""
        pending = await self._store.pending_lanes(self._places, _LANES)
        self._places = pending.places
        due = [lane for lane in pending.lanes if lane.due <= pending.now]
        later = min((lane.due for lane in pending.lanes if lane.due > pending.now), default=None)
        # those of whom the fewest are under way come first, and who comes first among them is left to chance
        random.shuffle(due)
        due.sort(key=lambda lane: self._projects[lane.project_id])
        for lane in due:
            await self._begin(lane)
        return _POLL_S if later is None else min(_POLL_S, (later - pending.now) / _SECOND_MS)

    async def _begin(self, lane: Lane) -> None:
        """Claim what there is room for, and begin it. The end of each attempt rings, for what there was no room for."""
        key = Lane(lane.project_id, lane.host, 0)
        room = min(
            _AT_ONCE - len(self._sending),
            _OF_PROJECT - self._projects[key.project_id],
            _OF_LANE - self._lanes[key],
        )
        if room <= 0:
            return
        claim_ms = int(self._claim_s * _SECOND_MS)
        async with self._claiming:
            if self._stopping:
                return
            for due in await self._store.claim_deliveries(self._node, key, room, claim_ms, RESULT_BYTES):
                task = asyncio.get_running_loop().create_task(self._one(due))
                self._sending[task] = key
                self._lanes[key] += 1
                self._projects[key.project_id] += 1
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        lane = self._sending.pop(task)
        self._lanes -= Counter([lane])  # what has none left is taken out
        self._projects -= Counter([lane.project_id])
        self._bell.set()

    # one attempt

    async def _one(self, due: DueDelivery) -> None:
        until = time.monotonic() + self._claim_s
        try:
            attempted = await self._attempt(due)
        except Exception:  # whatever it is about this one, others must not wait behind it
            log.exception("delivery %s failed", due.delivery.execution_id)
            attempted = self._failed(due.delivery, "Internal error; see the server's log.")
        self.attempted[attempted.state] += 1
        if attempted.state is DeliveryState.DEAD:
            log.warning(
                "delivery %s to %s is given up after %d attempts: %s",
                *(due.delivery.execution_id, due.delivery.host, due.delivery.attempts, attempted.error),
            )
        await self._settled(due.delivery, attempted, until)

    async def _attempt(self, due: DueDelivery) -> Attempted:
        delivery = due.delivery
        try:
            target = self._targets.read(delivery.project_id, delivery.url)
        except ValueError as error:
            return self._failed(delivery, f"The completion URL {error}")
        try:
            signing = self._opened(delivery.project_id, due.secrets)
        except FailedPrecondition as error:
            return self._failed(delivery, error.message)
        if not signing:
            return self._failed(delivery, "The project has no signing secret.")
        body = notification(due)
        headers = signature_headers(message_id(due.execution.id), now_ms() // _SECOND_MS, body, signing)
        try:
            answer = await self._post.send(delivery.project_id, target, headers, body)
        except NoAnswer as error:
            return self._failed(delivery, str(error))
        if 200 <= answer.status < 300:
            return Attempted(state=DeliveryState.DELIVERED, status=answer.status)
        if answer.status == _GONE:
            why = "The receiver answered 410: it wants no more of this."
            return Attempted(state=DeliveryState.DEAD, status=answer.status, error=why)
        redirect = " Redirects are not followed." if 300 <= answer.status < 400 else ""
        why = f"The receiver answered {answer.status}.{redirect}"
        return self._failed(delivery, why, answer.status, answer.retry_after_s)

    def _opened(self, project_id: str, secrets: Sequence[tuple[str, str]]) -> list[str]:
        """Return the secrets that sign. Raises FailedPrecondition if this server cannot open the newest.

        An older one that it cannot open, because its key is lost, must not outlive the rotation that replaced it.
        """
        opened = []
        for index, (secret_id, sealed) in enumerate(secrets):
            try:
                opened.append(self._sealer.open(sealed, signing_place(project_id, secret_id)))
            except FailedPrecondition:
                if index == 0:
                    raise
        return opened

    def _failed(
        self, delivery: Delivery, why: str, status: int | None = None, asked_s: float | None = None
    ) -> Attempted:
        wait_s = self._backoff.wait_s(delivery.attempts, asked_s)
        if wait_s is None:
            return Attempted(state=DeliveryState.DEAD, status=status, error=why)
        return Attempted(state=DeliveryState.PENDING, status=status, error=why, delay_ms=int(wait_s * _SECOND_MS))

    async def _settled(self, delivery: Delivery, attempted: Attempted, until: float) -> None:
        """Record what came of an attempt, for as long as it is ours."""
        while True:
            try:
                if not await self._store.settle_delivery(delivery, attempted):
                    log.warning("delivery %s was taken over meanwhile; it may be sent twice", delivery.execution_id)
                return
            except Exception as error:
                complain(log, f"cannot record delivery {delivery.execution_id}", error)
                if time.monotonic() >= until or not isinstance(error, Unavailable):
                    return  # the claim ends by itself, and it is sent again
                await asyncio.sleep(_RETRY_S)
