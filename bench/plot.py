"""The figures as a picture: one panel a part, one bar a contestant, medians over the rounds.

SVG by hand: bars and text need no library.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from html import escape

from bench.rounds import Figure

__all__ = ["svg"]

_WIDTH, _BAR, _GAP, _LABEL, _VALUE = 960, 16, 4, 330, 210
_OURS, _THEIRS = "#2f6fde", "#9aa4b2"
_PANELS = ("warm", "fresh", "rest")


def svg(rounds: Sequence[Sequence[Figure]]) -> str:
    """Return the picture: answers a second, and p50 and p99 beside each bar."""
    body, height = "", 12
    for part in _PANELS:
        rows = list(_rows(rounds, part))
        if not rows:
            continue
        body += _text(12, height + 14, f"{part}: answers a second", size=14, weight="bold")
        height += 26
        most = max(rate for _, rate, _, _ in rows)
        for label, rate, p50, p99 in rows:
            width = max(1.0, (_WIDTH - _LABEL - _VALUE) * rate / most)
            color = _OURS if label.startswith("polycall") else _THEIRS
            body += _text(_LABEL - 8, height + 12, label, anchor="end")
            body += f'<rect x="{_LABEL}" y="{height}" width="{width:.1f}" height="{_BAR}" fill="{color}"/>'
            told = f"{rate:,.0f}/s   p50 {p50:.2f}   p99 {p99:.2f} ms"
            body += _text(_LABEL + width + 6, height + 12, told)
            height += _BAR + _GAP
        height += 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )


def _rows(rounds: Sequence[Sequence[Figure]], part: str) -> Iterator[tuple[str, float, float, float]]:
    found: dict[tuple[str, str], list[Figure]] = {}
    for figures in rounds:
        for figure in figures:
            if figure.part == part and figure.load.startswith("c="):
                found.setdefault((figure.load, figure.name), []).append(figure)
    for (load, name), same in sorted(found.items(), key=lambda item: int(item[0][0][2:])):
        yield (
            f"{name}, {load}",
            statistics.median(figure.rate for figure in same),
            statistics.median(figure.p50 for figure in same),
            statistics.median(figure.p99 for figure in same),
        )


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="#222">'
        f"{escape(text)}</text>"
    )
