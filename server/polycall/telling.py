"""How a server tells that executions have ended: what the settings say of it, and what sends."""

from __future__ import annotations

from polycall.config import Settings
from polycall.engine.webhooks.backoff import Backoff
from polycall.engine.webhooks.deliverer import Deliverer, Living
from polycall.engine.webhooks.post import Post
from polycall.engine.webhooks.targets import Targets
from polycall.member import Member
from polycall.sandbox.egress.addresses import AddressFilter, parse_networks
from polycall.sandbox.egress.certificates import system_certificates
from polycall.sandbox.egress.resolver import Resolver
from polycall.sandbox.egress.upstream import Trust
from polycall.sealing import Sealer
from polycall.serving import ServeError
from polycall.store.protocol import DeliveryStore

__all__ = ["webhook_deliverer", "webhook_targets"]


def webhook_targets(settings: Settings) -> Targets:
    """Return which hosts may be told. Raises ServeError."""
    try:
        return Targets(settings.webhook_hosts, http=settings.webhook_http)
    except ValueError as error:
        raise ServeError(f"POLYCALL_WEBHOOK_HOSTS cannot be used: {error}.") from None


def webhook_deliverer(
    settings: Settings, store: DeliveryStore, sealer: Sealer, targets: Targets, place: Member, *, shared: bool
) -> Deliverer:
    """Return what sends; ``shared``: other servers have the database, too. Raises OSError for bad certificates."""
    networks = parse_networks(filter(None, settings.webhook_networks.split(",")))
    trust = Trust(filter(None, (system_certificates(), settings.egress_ca_file)), settings.egress_ca_file)
    return Deliverer(
        store,
        sealer,
        targets,
        Post(Resolver(AddressFilter(networks)), trust, timeout_s=settings.webhook_timeout_s),
        backoff=Backoff(first_s=settings.webhook_backoff_s, attempts=settings.webhook_attempts),
        timeout_s=settings.webhook_timeout_s,
        node=place.node,
        living=Living(None, int(settings.lease_s * 1000)) if shared else Living(place.living),
    )
