"""polycall webhooks: what is told, what is not, and the secret that is shown once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.harness import until

URL = "https://127.0.0.1/cli"  # its address is not public: no attempt gets anywhere


@pytest.fixture
def called(cli: Cli, tmp_path: Path) -> str:
    """The id of an execution whose end is to be told."""
    (tmp_path / "told.py").write_text("def told(): return 1\n")
    assert cli("deploy", str(tmp_path / "told.py"), "--package", "cli-told").code == 0
    assert cli("webhooks", "rotate-secret", "--overlap", "0").code == 0
    made = cli("call", "packages/cli-told/functions/told", "--completion-url", URL, "--json").json()
    assert made["completionUrl"] == URL
    return str(made["name"]).removeprefix("executions/")


def test_a_delivery_is_seen_and_sent_again(cli: Cli, called: str) -> None:
    def tried() -> dict[str, str] | None:
        shown = cli("webhooks", "show", called)
        facts = dict(line.split(None, 1) for line in shown.text.splitlines() if not line.startswith(("last", "next")))
        return facts if "error" in facts else None

    facts = until(tried, what="the attempt")
    assert facts["delivery"] == f"deliveries/{called}"
    assert (facts["state"], facts["attempts"]) == ("DEAD", "1")  # the shared server makes no other
    assert facts["url"] == URL
    assert facts["error"] == "the address of 127.0.0.1 is not allowed: it is not public"
    listed = cli("webhooks", "list", "--state", "dead", "--limit", "1000")
    row = next(line for line in listed.text.splitlines() if line.startswith(called))
    assert row.split()[1] == "DEAD"
    assert called not in cli("webhooks", "list", "--state", "delivered", "--limit", "1000").text
    again = cli("webhooks", "redeliver", f"executions/{called}", "--json").json()
    assert (again["name"], again["state"]) == (f"deliveries/{called}", "STATE_PENDING")
    nothing = cli("webhooks", "show", "01a21994-debd-76da-9d68-4044ec11dace")
    assert nothing.code == 2
    assert "deliveries/01a21994-debd-76da-9d68-4044ec11dace does not exist" in nothing.err


def test_a_secret_is_shown_once(cli: Cli) -> None:
    made = cli("webhooks", "rotate-secret", "--overlap", "0")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", made.text)
    assert "Give it to your receivers" in made.err
    shown = cli("webhooks", "show").text
    assert len([line for line in shown.splitlines() if line.startswith("signed with")]) == 1
    assert made.text.strip() not in shown + cli("webhooks", "show", "--json").text
    wrong = cli("webhooks", "rotate-secret", "--overlap", "60d")
    assert wrong.code == 2
    assert "overlap: must be 0 to 2678400 s" in wrong.err
