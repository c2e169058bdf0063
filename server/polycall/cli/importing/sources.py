"""The readers of exports, by vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polycall.cli.importing import cognite, domo, guance, riza, xpander
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds

__all__ = ["READERS"]

READERS: Mapping[str, Callable[[Export], Finds]] = {
    "riza": riza.read,
    "cognite": cognite.read,
    "xpander": xpander.read,
    "domo": domo.read,
    "guance": guance.read,
}
