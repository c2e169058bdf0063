"""polycall keys and projects."""

from __future__ import annotations

import re

from tests.cli.conftest import Cli


def test_a_key_is_made_used_and_revoked(cli: Cli) -> None:
    made = cli("keys", "create", "--name", "ci", "--scope", "read", "--expires", "1d")
    key = made.text.strip()
    found = re.fullmatch(r"apiKeys/(\S+) of projects/default may read\. Keep its text: it is not stored\.\n", made.err)
    assert made.code == 0
    assert found is not None
    assert cli("packages", "list", "--key", key).code == 0
    assert cli("run", "-", "--key", key, stdin="def execute(input): return 1").code == 4
    row = next(line for line in cli("keys", "list").text.splitlines() if line.startswith(found[1]))
    assert row.split()[1:4] == ["ci", "active", "read"]
    shown = dict(line.split(None, 1) for line in cli("keys", "get", found[1]).text.splitlines())
    assert (shown["key"], shown["name"], shown["state"], shown["scopes"]) == (
        f"apiKeys/{found[1]}",
        "ci",
        "active",
        "read",
    )
    assert cli("keys", "revoke", found[1]).text == f"apiKeys/{found[1]} is revoked.\n"
    assert cli("packages", "list", "--key", key).code == 4
    row = next(line for line in cli("keys", "list").text.splitlines() if line.startswith(found[1]))
    assert row.split()[1:4] == ["ci", "revoked", "read"]


def test_a_project_has_keys_of_its_own(cli: Cli) -> None:
    assert cli("projects", "create", "cli-team", "--display-name", "Team").text == "projects/cli-team\n"
    assert any(line.split()[:2] == ["cli-team", "Team"] for line in cli("projects", "list").text.splitlines())
    key = cli("keys", "create", "--project", "cli-team", "--scope", "run", "--scope", "read", "--json").json()["key"]
    assert cli("packages", "list", "--key", key, "--json").json() == {}
    again = cli("projects", "create", "cli-team")
    assert again.code == 2
    assert "already exists" in again.err


def test_an_unknown_key_says_where_to_look(cli: Cli) -> None:
    refused = cli("keys", "revoke", "none")
    assert refused.code == 2
    assert refused.err.endswith("`polycall keys list` shows what there is.\n")
