"""What a scenario of `bench.durability` has shown."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Scale", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A promise, the figures that were measured, and whether it was kept."""

    promise: str
    figures: str
    kept: bool
    timed: bool = False  # by a clock: it means something on a quiet machine

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{'kept  ' if self.kept else 'BROKEN'}  {self.promise}: {self.figures}"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. The defaults are those of the promises."""

    replicas: int = 3
    kills: int = 20
    calls: float = 80.0  # a second
    runs: float = 80.0  # a second
    spell_s: float = 4.0  # load before and after each mishap
    lease_s: float = 3.0
    ticks: int = 12  # rounds of ticks
    moments: int = 75  # of a start that are tried
