"""What is needed of the store for notifications that executions have ended, and for what signs them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from polycall.domain import Delivery, DeliveryState, DueDelivery, SigningSecret
from polycall.quick import dataclass
from polycall.store.protocol.pages import Page

__all__ = ["Attempted", "DeliveryStore", "Lane", "PendingLanes"]


@dataclass(frozen=True, slots=True)
class Lane:
    """Deliveries of one project to one host, and when the next attempt of one of them may begin (ms)."""

    project_id: str
    host: str
    due: int


@dataclass(frozen=True, slots=True)
class PendingLanes:
    """Lanes with something PENDING, and the database's time, ms.

    ``places``: of projects that have more than are here, where to go on the next time.
    """

    now: int
    lanes: Sequence[Lane]
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What came of an attempt: an end, or PENDING again, to be tried after ``delay_ms``."""

    state: DeliveryState
    status: int | None = None
    error: str = ""
    delay_ms: int = 0


class DeliveryStore(Protocol):
    """Deliveries: each is there from the transaction in which its execution ended, however that came about."""

    async def pending_lanes(self, places: Mapping[str, str], most: int) -> PendingLanes:
        """Return the lanes of all projects; if they are more than ``most``, an equal share of them of each project.

        ``places``: those that were returned the last time. Crosses projects, for the deliverer.
        """

    async def claim_deliveries(
        self, owner: str, lane: Lane, most: int, lease_ms: int, result_bytes: int
    ) -> Sequence[DueDelivery]:
        """Take up to ``most`` of a lane whose time has come, the longest overdue first, for ``lease_ms``.

        Whoever has not said by then what came of an attempt loses it to others. Results of up to ``result_bytes``.
        """

    async def settle_delivery(self, delivery: Delivery, attempted: Attempted) -> bool:
        """Write what came of an attempt; False: it is not this owner's attempt any more, and nothing was written."""

    async def return_deliveries(self, owner: str, only: Sequence[uuid.UUID] | None = None) -> int:
        """Give back what an owner has claimed (of these), as if these attempts had not begun; return how many."""

    async def reclaim_deliveries(self, living: Collection[str] | None, lease_ms: int = 0) -> int:
        """Let others take at once what owners have that are not ``living``; return how many.

        None: those that have not said for ``lease_ms`` that they live (``NodeStore``). Crosses projects.
        """

    async def get_delivery(self, project_id: str, execution_id: uuid.UUID) -> Delivery:
        """Return; raise NotFound."""

    async def list_deliveries(
        self, project_id: str, state: DeliveryState | None, page_size: int, page_token: str = ""
    ) -> Page[Delivery]:
        """Return a page, those of the newest executions first; raise InvalidArgument for a token that is not ours."""

    async def count_deliveries(self, project_id: str, state: DeliveryState, most: int) -> int:
        """Return how many are in a state, ``most`` at most."""

    async def redeliver(self, project_id: str, execution_id: uuid.UUID) -> Delivery:
        """Have one attempted at once, as often as a new one: one that has ended, or waits. Raise NotFound.

        One that is being attempted stays as it is.
        """

    async def rotate_signing_secret(self, secret: SigningSecret, sealed: str, overlap_ms: int, most: int) -> int:
        """Insert the newest; those before it sign for ``overlap_ms`` more at most. Returns when they end, ms.

        Raise NotFound (project), QuotaExceeded: there would be more than ``most`` that sign.
        """

    async def signing_secrets(self, project_id: str) -> Sequence[SigningSecret]:
        """Return those that sign, newest first."""
