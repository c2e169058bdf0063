"""The readers of exports, by vendor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from polycall.cli.importing import domo, riza, xpander
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds

__all__ = ["READERS"]

READERS: Mapping[str, Callable[[Export], Finds]] = {"riza": riza.read, "domo": domo.read, "xpander": xpander.read}
