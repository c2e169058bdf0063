"""``polycall audit``: who did what."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import MOMENT, json_option, limit_option

if TYPE_CHECKING:
    from polycall.v1.audit_service_pb2 import AuditEvent, AuditFilter

__all__ = ["audit"]

_PAGE = 1000  # the server's largest
_OUTCOMES = click.Choice(["done", "refused", "failed"])
_COLUMNS = (
    *("time", "project", "actor", "action", "resource", "outcome", "code", "face", "method", "client", "count"),
    *("detail", "name"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take a cell for that begins so

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _filtered(command: _Command) -> _Command:
    """Give a command the options that say which events."""
    for option in (
        click.option("--project", metavar="ID", default="", help="Another project than your key's; `-`: all of them."),
        click.option("--outcome", type=_OUTCOMES, help="Only those that ended so."),
        click.option("--resource", metavar="NAME", default="", help="Only what was done to this, such as secrets/ID."),
        click.option("--action", metavar="ACTION", default="", help="Only this, such as key.revoke, or `key.*`."),
        click.option("--actor", metavar="KEY", default="", help="Only what this API key did, by its id."),
        click.option("--until", type=MOMENT, metavar="TIME", help="Only before then."),
        click.option("--since", type=MOMENT, metavar="TIME", help="Only from then on: a time, or 2h: two hours ago."),
    ):
        command = option(command)
    return command


@click.group("audit")
def audit() -> None:
    """See who did what, and take it elsewhere. Needs a key with the scope audit."""


@audit.command("list")
@_filtered
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, limit: int, as_json: bool, project: str, **given: Any) -> None:
    """List events, newest first."""
    from polycall.cli.show import moment, print_json, word
    from polycall.cli.table import print_table
    from polycall.v1 import audit_service_pb2 as pb

    request = pb.ListAuditEventsRequest(filter=_filter(**given), project=_project_name(project))
    answer = pb.ListAuditEventsResponse()
    while True:
        request.page_size = min(limit - len(answer.events), _PAGE)
        page = client.call(client.audit.ListAuditEvents, request)
        answer.events.extend(page.events)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.events) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            moment(event.time),
            event.actor,
            event.action,
            event.resource,
            word(event, "outcome").lower() + (f" x{event.count}" if event.count > 1 else ""),
            event.face,
            event.client,
        ]
        for event in answer.events
    ]
    print_table(["TIME", "ACTOR", "ACTION", "RESOURCE", "OUTCOME", "BY", "FROM"], rows)


@audit.command("export")
@_filtered
@click.option("--format", "form", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True)
@with_client
def export_command(client: Client, form: str, project: str, **given: Any) -> None:
    """Print all events, oldest first: a JSON object a line, or CSV. An exit code other than 0: not all of them."""
    from google.protobuf.json_format import MessageToJson

    from polycall.cli.terminal import say
    from polycall.v1 import audit_service_pb2 as pb

    request = pb.ExportAuditEventsRequest(filter=_filter(**given), project=_project_name(project))
    events = client.stream(client.audit.ExportAuditEvents, request)
    if form == "ndjson":
        for event in events:
            say(MessageToJson(event, ensure_ascii=False, indent=None))
        return
    table = csv.writer(sys.stdout)
    table.writerow(_COLUMNS)
    for event in events:
        table.writerow(_cells(event))


def _filter(
    since: datetime | None, until: datetime | None, actor: str, action: str, resource: str, outcome: str | None
) -> AuditFilter:
    from polycall.v1 import audit_service_pb2 as pb

    ended = f"OUTCOME_{outcome.upper()}" if outcome else None
    found = pb.AuditFilter(actor=actor, action=action, resource=resource, outcome=ended)
    if since is not None:
        found.start_time.FromDatetime(since)
    if until is not None:
        found.end_time.FromDatetime(until)
    return found


def _cells(event: AuditEvent) -> list[str]:
    from polycall.cli.show import word

    values = {
        "time": event.time.ToJsonString(),
        "outcome": word(event, "outcome").lower(),
        "detail": "; ".join(f"{name}={value}" for name, value in sorted(event.detail.items())),
    }
    cells = [values[column] if column in values else str(getattr(event, column)) for column in _COLUMNS]
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


def _project_name(project: str) -> str:
    return f"projects/{project}" if project and not project.startswith("projects/") else project
