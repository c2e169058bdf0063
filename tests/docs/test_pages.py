"""The pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from polycall.domain import Reason
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
