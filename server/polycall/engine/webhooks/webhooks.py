"""Webhooks as callers see them: which URLs may be named, what became of deliveries, the secrets that sign them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import field

from polycall.domain import Delivery, DeliveryState, Principal, Reason, Scope, SigningSecret
from polycall.engine.keys import require
from polycall.engine.tasks import through
from polycall.engine.webhooks.signature import new_signing_secret, signing_place
from polycall.engine.webhooks.targets import Targets
from polycall.errors import FailedPrecondition, InvalidArgument
from polycall.ids import new_id, now_ms, to_ulid
from polycall.quick import dataclass
from polycall.sealing import Sealer
from polycall.store.protocol import DeliveryStore, Page

__all__ = ["LONGEST_OVERLAP_MS", "MOST_COUNTED", "MOST_SIGNING", "Rotated", "WebhookState", "Webhooks"]

MOST_SIGNING = 5  # secrets of a project that sign at once: a header has as many signatures
LONGEST_OVERLAP_MS = 31 * 86_400_000
MOST_COUNTED = 10_000  # deliveries in a state: whoever has more need not know how many


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new signing secret, and its text, which is shown this once; the older ones sign until ``older_until`` (ms)."""

    secret: SigningSecret
    text: str = field(repr=False)
    older_until: int


@dataclass(frozen=True, slots=True)
class WebhookState:
    """How a project's webhooks stand. Counts end at ``MOST_COUNTED``."""

    pending: int
    dead: int
    secrets: Sequence[SigningSecret]


class Webhooks:
    """Webhooks of all projects. ``on_due`` hears that something is to be sent now."""

    def __init__(self, store: DeliveryStore, sealer: Sealer, targets: Targets) -> None:
        self._store = store
        self._sealer = sealer
        self._targets = targets
        self._ready: set[str] = set()  # projects that have a signing secret: once they have one, they always do
        self.on_due: Callable[[], None] = lambda: None

    async def check(self, project_id: str, url: str, field: str = "completion_url") -> None:
        """Raise InvalidArgument for a URL that may not be told, FailedPrecondition if nothing could be signed."""
        try:
            self._targets.read(project_id, url)
        except ValueError as error:
            raise InvalidArgument.of(field, str(error)) from None
        if project_id in self._ready:
            return
        if not await self._store.signing_secrets(project_id):
            raise FailedPrecondition(
                "This project has no secret to sign notifications with, so that their receiver could not tell them "
                "from forged ones. Make one with `polycall webhooks rotate-secret`, and give it to the receiver.",
                subject="signing_secret",
                reason=Reason.SIGNING_SECRET_MISSING,
            )
        self._ready.add(project_id)

    async def get(self, who: Principal, execution_id: uuid.UUID) -> Delivery:
        """Return a delivery. Raises PermissionDenied (scope READ), NotFound."""
        require(who, Scope.READ)
        return await self._store.get_delivery(who.project_id, execution_id)

    async def list(
        self, who: Principal, state: DeliveryState | None, page_size: int, page_token: str = ""
    ) -> Page[Delivery]:
        """Return a page, newest executions first. Raises PermissionDenied (scope READ), InvalidArgument (token)."""
        require(who, Scope.READ)
        return await self._store.list_deliveries(who.project_id, state, page_size, page_token)

    async def redeliver(self, who: Principal, execution_id: uuid.UUID) -> Delivery:
        """Have a delivery sent now, as often as a new one. Raises PermissionDenied (scope RUN), NotFound."""
        require(who, Scope.RUN)
        delivery = await self._store.redeliver(who.project_id, execution_id)
        self.on_due()
        return delivery

    async def state(self, who: Principal) -> WebhookState:
        """Return how the project's webhooks stand. Raises PermissionDenied (scope READ)."""
        require(who, Scope.READ)
        pending, dead = [
            await self._store.count_deliveries(who.project_id, state, MOST_COUNTED)
            for state in (DeliveryState.PENDING, DeliveryState.DEAD)
        ]
        return WebhookState(pending, dead, await self._store.signing_secrets(who.project_id))

    async def rotate(self, who: Principal, overlap_ms: int) -> Rotated:
        """Make a new signing secret; those before it sign beside it for a while.

        Raises PermissionDenied (scope DEPLOY), InvalidArgument (``overlap``), QuotaExceeded.
        """
        require(who, Scope.DEPLOY)
        if not 0 <= overlap_ms <= LONGEST_OVERLAP_MS:
            most = LONGEST_OVERLAP_MS // 1000
            raise InvalidArgument.of("overlap", f"must be 0 to {most} s, got {overlap_ms / 1000:g}")
        secret = SigningSecret(project_id=who.project_id, id=to_ulid(new_id()), created_at=now_ms())
        text = new_signing_secret()
        sealed = self._sealer.seal(text, signing_place(who.project_id, secret.id))
        until = await through(self._store.rotate_signing_secret(secret, sealed, overlap_ms, MOST_SIGNING))
        return Rotated(secret, text, until)
