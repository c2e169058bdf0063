"""The soak, short: every answer is right, and what can be counted comes back to what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.soak import climb, main


def test_a_short_soak_is_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "soak.json"
    assert main(["--minutes", "0.07", "--callers", "6", "--json", str(report)]) == 0, capsys.readouterr().out
    told = json.loads(report.read_text())
    assert told["verdict"]["problems"] == []
    assert {"warm", "fresh", "rest_warm", "warm_javascript"} <= told["answers"].keys()
    assert told["samples"]


def test_a_climb_is_the_rise_of_the_line_through_the_points() -> None:
    assert climb([0, 1, 2, 3], [5, 6, 7, 8]) == pytest.approx(3)
    assert climb([0, 1, 2, 3], [5, 5, 5, 5]) == 0
    assert climb([0, 1], [5, 9]) == 0  # too few to say
