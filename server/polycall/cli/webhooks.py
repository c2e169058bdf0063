"""``polycall webhooks``: what became of notifications, and the secrets that sign them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import DURATION, json_option, limit_option, shown_id
from polycall.domain import DeliveryState

if TYPE_CHECKING:
    from polycall.v1.webhook_pb2 import Delivery

__all__ = ["webhooks"]

_PAGE = 1000  # the server's largest
_STATES = click.Choice([state.name.lower() for state in DeliveryState])


@click.group("webhooks")
def webhooks() -> None:
    """See and repeat notifications that executions have ended; make the secrets that sign them.

    `polycall call --completion-url` and `polycall schedules create --completion-url` ask for notifications.
    """


def _delivery_name(text: str) -> str:
    """Return ``deliveries/ID`` for the id or the name of a delivery, or of its execution."""
    return f"deliveries/{text.removeprefix('deliveries/').removeprefix('executions/')}"


@webhooks.command("list")
@click.option("--state", type=_STATES, help="Only those in this state.")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, state: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, those of the newest executions first."""
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_table
    from polycall.v1 import webhook_service_pb2 as pb

    request, answer = pb.ListDeliveriesRequest(), pb.ListDeliveriesResponse()
    if state is not None:
        request.state = f"STATE_{state.upper()}"  # type: ignore[assignment]  # by its name
    while True:
        request.page_size = min(limit - len(answer.deliveries), _PAGE)
        page = client.call(client.webhooks.ListDeliveries, request)
        answer.deliveries.extend(page.deliveries)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.deliveries) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            shown_id(d.name),
            word(d, "state"),
            str(d.attempts),
            str(d.http_status) if d.HasField("http_status") else "",
            moment(d.next_attempt_time),
            moment(d.end_time),
            d.url,
        ]
        for d in answer.deliveries
    ]
    print_table(["DELIVERY", "STATE", "ATTEMPTS", "ANSWER", "NEXT", "ENDED", "URL"], rows)


@webhooks.command("show")
@click.argument("delivery", required=False)
@json_option
@with_client
def show_command(client: Client, delivery: str | None, as_json: bool) -> None:
    """Show a delivery, by its id or its execution's; without one, how the project's webhooks stand."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_facts
    from polycall.v1 import webhook_service_pb2 as pb

    if delivery is not None:
        request = pb.GetDeliveryRequest(name=_delivery_name(delivery))
        _print(client.call(client.webhooks.GetDelivery, request), as_json=as_json)
        return
    state = client.call(client.webhooks.GetWebhookState, pb.GetWebhookStateRequest())
    if as_json:
        print_json(state)
        return
    facts = [("pending", str(state.pending_count)), ("dead", str(state.dead_count))]
    for secret in state.signing_secrets:
        ends = f", until {moment(secret.expire_time)}" if secret.HasField("expire_time") else ""
        facts.append(("signed with", f"{secret.id} of {moment(secret.create_time)}{ends}"))
    print_facts(facts if state.signing_secrets else [*facts, ("signed with", "nothing; see rotate-secret")])


@webhooks.command("redeliver")
@click.argument("delivery")
@json_option
@with_client
def redeliver_command(client: Client, delivery: str, as_json: bool) -> None:
    """Send a notification again, now: one that was given up, was delivered, or waits for its next attempt."""
    from polycall.v1 import webhook_service_pb2 as pb

    request = pb.RedeliverWebhookRequest(name=_delivery_name(delivery))
    _print(client.call(client.webhooks.RedeliverWebhook, request), as_json=as_json)


@webhooks.command("rotate-secret")
@click.option(
    "--overlap", type=DURATION, metavar="DURATION", help="How long the older ones sign beside it. Default: 24h."
)
@json_option
@with_client
def rotate_command(client: Client, overlap: float | None, as_json: bool) -> None:
    """Make a new signing secret, also the first one. It is printed on standard output, now and never again."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.terminal import say, tell
    from polycall.v1 import webhook_service_pb2 as pb

    request = pb.RotateSigningSecretRequest()
    if overlap is not None:
        request.overlap.FromNanoseconds(round(overlap * 1e9))
    answer = client.call(client.webhooks.RotateSigningSecret, request)
    if as_json:
        print_json(answer)
        return
    say(answer.secret)
    tell(
        f"Give it to your receivers; those that have an older one are served until {moment(answer.older_expire_time)}."
    )


def _print(delivery: Delivery, *, as_json: bool) -> None:
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_facts

    if as_json:
        print_json(delivery)
        return
    print_facts(
        [
            ("delivery", delivery.name),
            ("execution", delivery.execution),
            ("url", delivery.url),
            ("state", word(delivery, "state")),
            ("attempts", str(delivery.attempts)),
            ("created", moment(delivery.create_time)),
            ("last attempt", moment(delivery.last_attempt_time)),
            ("next attempt", moment(delivery.next_attempt_time)),
            ("ended", moment(delivery.end_time)),
            ("answer", str(delivery.http_status) if delivery.HasField("http_status") else ""),
            ("error", delivery.error),
            ("webhook-id", delivery.message_id),
        ]
    )
