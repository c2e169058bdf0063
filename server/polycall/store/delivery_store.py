"""Notifications of all projects, and what signs them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence

from polycall.domain import Delivery, DeliveryState, DueDelivery, SigningSecret
from polycall.store import deliveries, signing
from polycall.store.executor import Executor
from polycall.store.paging import page_of, read_token
from polycall.store.protocol import Page
from polycall.store.protocol.deliveries import Attempted, Lane, PendingLanes

__all__ = ["SqlDeliveries"]


class SqlDeliveries:
    """See ``polycall.store.protocol.DeliveryStore``.

    Claims and what came of them are lost with the machine at worst: then a notification is sent once more.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def pending_lanes(self, places: Mapping[str, str], most: int) -> PendingLanes:
        """Return the lanes of all projects, some ``most``; raise Unavailable."""
        return await self._executor.read(deliveries.pending_lanes, places, most)

    async def claim_deliveries(
        self, owner: str, lane: Lane, most: int, lease_ms: int, result_bytes: int
    ) -> Sequence[DueDelivery]:
        """Take some of a lane whose time has come; raise Unavailable."""
        return await self._executor.relaxed(deliveries.claim, owner, lane, most, lease_ms, result_bytes)

    async def settle_delivery(self, delivery: Delivery, attempted: Attempted) -> bool:
        """Write what came of an attempt; False: it is not this owner's any more. Raises Unavailable."""
        return await self._executor.relaxed(deliveries.settle, delivery, attempted)

    async def return_deliveries(self, owner: str, only: Sequence[uuid.UUID] | None = None) -> int:
        """Give back what an owner has claimed; return how many. Raises Unavailable."""
        return await self._executor.relaxed(deliveries.give_back, owner, only)

    async def reclaim_deliveries(self, living: Collection[str] | None, lease_ms: int = 0) -> int:
        """Let others take what owners had that are not living; return how many. Raises Unavailable."""
        return await self._executor.relaxed(deliveries.reclaim, living, lease_ms)

    async def get_delivery(self, project_id: str, execution_id: uuid.UUID) -> Delivery:
        """Return; raise NotFound, Unavailable."""
        return await self._executor.read(deliveries.get_delivery, project_id, execution_id)

    async def list_deliveries(
        self, project_id: str, state: DeliveryState | None, page_size: int, page_token: str = ""
    ) -> Page[Delivery]:
        """Return a page, newest first; raise InvalidArgument (token), Unavailable."""
        scope = ("deliveries", project_id, state)
        after = read_token(scope, page_token, uuid.UUID)
        found = await self._executor.read(deliveries.list_deliveries, project_id, state, after, page_size + 1)
        return page_of(scope, found, page_size)

    async def count_deliveries(self, project_id: str, state: DeliveryState, most: int) -> int:
        """Return how many are in a state, ``most`` at most; raise Unavailable."""
        return await self._executor.read(deliveries.count, project_id, state, most)

    async def redeliver(self, project_id: str, execution_id: uuid.UUID) -> Delivery:
        """Have one attempted again; raise NotFound, Unavailable."""
        return await self._executor.write(deliveries.redeliver, project_id, execution_id)

    async def rotate_signing_secret(self, secret: SigningSecret, sealed: str, overlap_ms: int, most: int) -> int:
        """Insert the newest; return when those before it end. Raises NotFound, QuotaExceeded, Unavailable."""
        return await self._executor.write(signing.rotate, secret, sealed, overlap_ms, most)

    async def signing_secrets(self, project_id: str) -> Sequence[SigningSecret]:
        """Return those that sign, newest first; raise Unavailable."""
        return await self._executor.read(signing.list_signing, project_id)
