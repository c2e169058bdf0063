"""What people read: lines while it runs, a table of the targets at the end; and what programs read: JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.rounds import Figure
from bench.targets import Result

__all__ = ["HEAD", "document", "line", "table", "write"]

HEAD = (
    f"  {'':34} {'load':24} {'rate/s':>8} {'p50 ms':>8} {'p90 ms':>8} {'p99 ms':>8}"
    f" {'server':>8} {'tree':>8} {'tool':>6}  loop  load"
)


def line(figure: Figure) -> str:
    """Return a figure as a line under ``HEAD``. CPU is in microseconds a request."""
    start = f"  {figure.name:34} {figure.load:24}"
    end = f"  {figure.loop_ms:4.1f}  {figure.load_average:4.2f}" if figure.loop_ms else ""
    if figure.unit:
        return f"{start} {figure.value:8.2f} {figure.unit:<51}{end}"
    cpu = (
        f" {figure.server_us:5.0f} us {figure.tree_us:5.0f} us {figure.client_us:3.0f} us"
        if figure.server_us
        else " " * 25
    )
    return (
        f"{start} {figure.rate:8.0f} {figure.p50:8.2f} {figure.p90:8.2f} {figure.p99:8.2f}{cpu}{end}"
        if figure.count
        else f"{start} none"
    )


def table(results: Sequence[Result]) -> list[str]:
    """Return the targets: bound, median, every round's value, met or missed."""
    lines = [f"  {'target':45} {'bound':>14} {'median':>10}         rounds"]
    for result in results:
        target = result.target
        values = " ".join(f"{value:.2f}" for value in result.values)
        fate = "met   " if result.met else "MISSED"
        median = f"{result.median:.2f} {target.unit}".strip()
        lines.append(f"  {target.number}. {target.what:42} {target.bound:>14} {median:>10}  {fate} {values}")
    return lines


def document(
    about: dict[str, Any],
    rounds: Sequence[Sequence[Figure]],
    thrown_away: Sequence[Sequence[Figure]],
    results: Sequence[Result],
    missing: Sequence[str],
) -> dict[str, Any]:
    """Return all of it as JSON values."""
    return {
        "about": about,
        "missing": list(missing),
        "targets": [
            {
                "number": result.target.number,
                "what": result.target.what,
                "bound": result.target.bound,
                "unit": result.target.unit,
                "median": round(result.median, 4),
                "rounds": [round(value, 4) for value in result.values],
                "met": result.met,
            }
            for result in results
        ],
        "rounds": [[figure.as_dict() for figure in figures] for figures in rounds],
        "thrown_away": [[figure.as_dict() for figure in figures] for figures in thrown_away],
    }


def write(path: Path, value: dict[str, Any]) -> None:
    """Write a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")
