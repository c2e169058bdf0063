"""polycall.v1.WebhookService."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import Delivery, DeliveryState, Scope, SigningSecret
from polycall.engine.engine import Engine
from polycall.engine.webhooks.notification import message_id
from polycall.interceptors.rpc import Rpc
from polycall.names import DeliveryName, ExecutionName
from polycall.services.scalars import enum_values, milliseconds, page_size, timestamp
from polycall.services.violations import Violations
from polycall.v1 import webhook_pb2, webhook_service_pb2, webhook_service_pb2_grpc

__all__ = ["WebhookService"]

_STATES = enum_values(webhook_pb2.Delivery.State, "STATE", DeliveryState)
_STATE_OF: Mapping[int, DeliveryState | None] = {0: None} | {value: state for state, value in _STATES.items()}
_OVERLAP_MS = 86_400_000  # a day: longer than whoever deploys a receiver needs


class WebhookService(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Tells what became of notifications, and keeps what signs them."""

    def __init__(self, engine: Engine) -> None:
        self._webhooks = engine.webhooks

    async def ListDeliveries(
        self, request: webhook_service_pb2.ListDeliveriesRequest, rpc: Rpc
    ) -> webhook_service_pb2.ListDeliveriesResponse:
        """List deliveries."""
        wrong = Violations()
        size = page_size(request.page_size, wrong)
        if request.state not in _STATE_OF:
            wrong.add("state", f"{request.state} is not a state that this server knows")
        wrong.refuse()
        page = await self._webhooks.list(rpc.who, _STATE_OF[request.state], size, request.page_token)
        return webhook_service_pb2.ListDeliveriesResponse(
            deliveries=[_message(delivery) for delivery in page.items], next_page_token=page.next_token
        )

    async def GetDelivery(self, request: webhook_service_pb2.GetDeliveryRequest, rpc: Rpc) -> webhook_pb2.Delivery:
        """Return a delivery."""
        return _message(await self._webhooks.get(rpc.who, DeliveryName.parse(request.name).execution))

    async def RedeliverWebhook(
        self, request: webhook_service_pb2.RedeliverWebhookRequest, rpc: Rpc
    ) -> webhook_pb2.Delivery:
        """Send a notification again."""
        message = _message(await self._webhooks.redeliver(rpc.who, DeliveryName.parse(request.name).execution))
        if Scope.READ not in rpc.who.scopes:
            message.ClearField("url")
            message.ClearField("error")
        return message

    async def GetWebhookState(
        self, request: webhook_service_pb2.GetWebhookStateRequest, rpc: Rpc
    ) -> webhook_service_pb2.WebhookState:
        """Return how webhooks stand."""
        state = await self._webhooks.state(rpc.who)
        return webhook_service_pb2.WebhookState(
            pending_count=state.pending,
            dead_count=state.dead,
            signing_secrets=[_secret_message(secret) for secret in state.secrets],
        )

    async def RotateSigningSecret(
        self, request: webhook_service_pb2.RotateSigningSecretRequest, rpc: Rpc
    ) -> webhook_service_pb2.RotateSigningSecretResponse:
        """Make a new signing secret."""
        overlap_ms = milliseconds(request.overlap) if request.HasField("overlap") else _OVERLAP_MS
        rotated = await self._webhooks.rotate(rpc.who, overlap_ms)
        return webhook_service_pb2.RotateSigningSecretResponse(
            signing_secret=_secret_message(rotated.secret),
            secret=rotated.text,
            older_expire_time=timestamp(rotated.older_until),
        )


def _message(delivery: Delivery) -> webhook_pb2.Delivery:
    return webhook_pb2.Delivery(
        name=str(DeliveryName(delivery.execution_id)),
        execution=str(ExecutionName(delivery.execution_id)),
        url=delivery.url,
        state=_STATES[delivery.state],
        attempts=delivery.attempts,
        create_time=timestamp(delivery.created_at),
        next_attempt_time=timestamp(delivery.next_attempt),
        last_attempt_time=timestamp(delivery.attempted_at),
        end_time=timestamp(delivery.ended_at),
        http_status=delivery.status,
        error=delivery.error,
        message_id=message_id(delivery.execution_id),
    )


def _secret_message(secret: SigningSecret) -> webhook_pb2.SigningSecret:
    return webhook_pb2.SigningSecret(
        id=secret.id, create_time=timestamp(secret.created_at), expire_time=timestamp(secret.expires_at)
    )
