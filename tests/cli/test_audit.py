"""polycall audit."""

from __future__ import annotations

import csv
import io
import json

from polycall.cli.audit import _cells
from polycall.v1.audit_service_pb2 import AuditEvent
from tests.cli.conftest import Cli

COLUMNS = [
    *("time", "project", "actor", "action", "resource", "outcome", "code", "face", "method", "client", "count"),
    *("detail", "name"),
]


def test_who_did_what_is_listed_and_exported(cli: Cli) -> None:
    cli("projects", "create", "cli-audit")
    made = cli("keys", "create", "--project", "cli-audit", "--scope", "audit", "--json").json()
    reader, name = made["key"], made["apiKey"]["name"]
    first, second, _ = cli("audit", "list", "--key", reader).text.splitlines()
    assert first.split() == ["TIME", "ACTOR", "ACTION", "RESOURCE", "OUTCOME", "BY", "FROM"]
    assert second.split()[2:] == ["bootstrap", "key.create", name, "done", "127.0.0.1"]

    (shown,) = cli("audit", "list", "--key", reader, "--limit", "1", "--json").json()["events"]
    lines = [json.loads(line) for line in cli("audit", "export", "--key", reader).text.splitlines()]
    assert [line["action"] for line in lines] == ["project.create", "key.create"]
    assert lines[1] == shown

    rows = list(csv.reader(io.StringIO(cli("audit", "export", "--key", reader, "--format", "csv").text)))
    assert rows[0] == COLUMNS
    assert [row[3:6] for row in rows[1:]] == [
        ["project.create", "projects/cli-audit", "done"],
        ["key.create", name, "done"],
        ["audit.export", "", "done"],
    ]


def test_events_are_chosen_by_what_is_known_of_them(cli: Cli) -> None:
    cli("projects", "create", "cli-chosen")
    name = cli("keys", "create", "--project", "cli-chosen", "--json").json()["apiKey"]["name"]
    for chosen, count in (
        (["--action", "key.*"], 1),
        (["--action", "key.create", "--actor", "bootstrap", "--outcome", "done", "--since", "1h"], 1),
        (["--resource", name], 1),
        (["--until", "1h"], 0),
        (["--outcome", "refused"], 0),
        (["--actor", "somebody"], 0),
    ):
        found = cli("audit", "export", "--project", "cli-chosen", *chosen)
        assert (found.code, len(found.text.splitlines())) == (0, count), chosen
    assert cli("audit", "list", "--project", "-", "--action", "key.*", "--json").code == 0
    wrong = cli("audit", "list", "--action", "KEY")
    assert wrong.code == 2
    assert "key.revoke" in wrong.err


def test_without_the_scope_nothing_is_told(cli: Cli) -> None:
    key = cli("keys", "create", "--scope", "admin", "--json").json()["key"]
    for command in ("list", "export"):
        refused = cli("audit", command, "--key", key)
        assert (refused.code, refused.out) == (4, b"")
        assert "`audit`" in refused.err


def test_a_spreadsheet_takes_no_cell_for_a_formula() -> None:
    cells = _cells(AuditEvent(resource="=HYPERLINK()", client="@x", detail={"a": "1"}))
    assert (cells[4], cells[9], cells[11]) == ("'=HYPERLINK()", "'@x", "a=1")
