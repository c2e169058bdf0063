"""The tables by which tests are given to workers name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scheduling import TOGETHER

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fixture", TOGETHER)
def test_whoever_shares_a_server_with_other_modules_is_given_out_with_them(fixture: str) -> None:
    folder = ROOT / "tests" / Path(TOGETHER[fixture][0]).parts[1]
    asks = re.compile(rf"[(,] ?{fixture}: ")  # as a parameter
    found = {str(path.relative_to(ROOT)) for path in folder.rglob("test_*.py") if asks.search(path.read_text())}
    assert found <= set(TOGETHER[fixture])
    assert all((ROOT / module).is_file() for module in TOGETHER[fixture])


def test_no_module_is_given_out_with_two() -> None:
    modules = [module for modules in TOGETHER.values() for module in modules]
    assert len(modules) == len(set(modules))
