"""The pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from polycall.cli.manifest import parse_manifest
from polycall.config import Settings
from polycall.domain import Reason
from polycall.engine.checks import _RESERVED, _RESERVED_PREFIXES
from polycall.engine.egress import _MOST_RULES
from polycall.engine.limits import DEFAULTS, MAXIMUMS, MINIMUMS, UNITS
from polycall.engine.secrets import LONGEST_NAME, LONGEST_VALUE, MOST_SECRETS
from polycall.engine.webhooks.backoff import Backoff
from polycall.engine.webhooks.deliverer import _AT_ONCE, _OF_LANE, _OF_PROJECT
from polycall.engine.webhooks.notification import RESULT_BYTES
from polycall.engine.webhooks.targets import LONGEST_URL
from polycall.engine.webhooks.webhooks import LONGEST_OVERLAP_MS, MOST_SIGNING
from polycall.faces.domo.accounts import MOST
from polycall.faces.domo.operator import domo_settings
from polycall.sandbox.egress.bounds import Bounds
from polycall.sandbox.egress.peer import _LINES
from polycall.v1.error_reason_pb2 import ErrorReason

ROOT = Path(__file__).resolve().parents[2]


def test_reasons_are_the_same_in_code_contract_and_page() -> None:
    contract = {name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()} - {"UNSPECIFIED"}
    assert {reason.value for reason in Reason} == contract
    page = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|INTERNAL|DRAINING)`", (ROOT / "docs" / "errors.md").read_text()))
    assert contract - page == set()


def test_every_link_of_the_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_specification_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "specification.md").read_text()
    for path in re.findall(r"`(tests/[^`]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_page_of_limits_has_every_limit_with_its_default_and_range() -> None:
    rows = {}
    for line in (ROOT / "docs" / "limits.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            rows[cells[0].strip("`")] = cells[1], cells[2].partition(" (")[0]
    assert set(rows) == {unit.name for unit in UNITS.values()}
    for name, unit in UNITS.items():
        low, high, default = (getattr(limits, name) / unit.scale for limits in (MINIMUMS, MAXIMUMS, DEFAULTS))
        if name == "cpu_ms":
            continue  # it depends on the timeout and on the machine
        seconds = " s" if unit.symbol == "s" else ""
        assert rows[unit.name] == (f"{default:g}{seconds}", f"{low:g} to {high:g}{seconds}"), unit.name


def test_the_page_of_limits_names_every_variable_that_is_refused() -> None:
    page = (ROOT / "docs" / "limits.md").read_text()
    for name in {*_RESERVED, *(f"{prefix}*" for prefix in _RESERVED_PREFIXES)}:
        assert f"`{name}`" in page or f"`{name.upper()}`" in page or name.startswith("DENO_"), name


def test_the_page_of_secrets_has_the_bounds_that_hold() -> None:
    page = " ".join((ROOT / "docs" / "secrets.md").read_text().split())
    assert f"{MOST_SECRETS} secrets in a project" in page
    assert f"1 byte to {LONGEST_VALUE >> 10} KiB" in page
    assert f"1 to {LONGEST_NAME} characters" in page


def test_the_manifest_on_the_page_of_egress_is_one() -> None:
    page = (ROOT / "docs" / "egress.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    manifest = parse_manifest(text.encode(), "egress.md")
    assert [entry.host for entry in manifest.egress] == ["api.example.com", "*.example.org"]


def test_the_settings_of_the_domo_face_on_the_page_of_faces_are_some(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "faces.md").read_text()
    (text,) = re.findall(r"```toml\n(\[projects.*?)```", page, re.DOTALL)
    file = tmp_path / "domo.toml"
    file.write_text(text)
    settings, egress = domo_settings(str(file), "api.example.com, *.example.org")
    assert settings.of("default").aliases["addNumbers"].real_name("n1") == "a"
    assert egress is not None
    assert f"a version {MOST} accounts" in " ".join(page.split())


def test_the_page_of_webhooks_has_the_bounds_that_hold() -> None:
    page = " ".join((ROOT / "docs" / "webhooks.md").read_text().split())
    settings = Settings()
    backoff = Backoff(first_s=settings.webhook_backoff_s, chance=lambda low, high: 1.0)
    waits = [backoff.wait_s(attempts) for attempts in range(1, settings.webhook_attempts)]
    assert waits == [5, 20, 80, 320, 1280, 5120, 20_480, 28_800]
    for words in (
        "| 5 s | 20 s | 80 s | 5 min | 21 min | 85 min | 5.7 h | 8 h |",
        f"`POLYCALL_WEBHOOK_ATTEMPTS` ({settings.webhook_attempts}) times in all",
        f"`POLYCALL_WEBHOOK_TIMEOUT_S` ({settings.webhook_timeout_s:g} s",
        f"more than {LONGEST_URL} characters",
        f"at most {RESULT_BYTES >> 10} KiB",
        f"{_OF_LANE} notifications of a project to one host at a time, {_OF_PROJECT} of a project, {_AT_ONCE} in all",
        f"0 to {LONGEST_OVERLAP_MS // 86_400_000} days",
        f"At most {MOST_SIGNING} sign at a time",
    ):
        assert words in page, words


def test_the_page_of_egress_has_the_bounds_that_hold() -> None:
    page = " ".join((ROOT / "docs" / "egress.md").read_text().split())
    bounds = Bounds()
    for words in (
        f"{bounds.connections} connections at once",
        f"{bounds.lookups} names looked up at once",
        f"{_LINES} lines and some {bounds.head_bytes >> 10} KiB for the head",
        f"{bounds.body_bytes >> 30} GiB for a body",
        f"{bounds.connect_s:g} s to connect and {bounds.handshake_s:g} s for TLS",
        f"{bounds.head_s:g} s for a head, {bounds.stall_s:g} s without a byte, {bounds.answer_s:g} s for an answer",
        f"the first {bounds.records}, and how many more",
        f"At most {_MOST_RULES} rules",
    ):
        assert words in page, words
