"""What an import did, or would do: object by object, for people and for programs."""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from polycall.cli.exits import Exit
from polycall.cli.table import print_table
from polycall.cli.terminal import say
from polycall.quick import dataclass

__all__ = ["Action", "Outcome", "Report"]


class Action(enum.StrEnum):
    """What became of an object."""

    CREATED = "created"
    SAME = "same"  # it was there, and equal
    REPLACED = "replaced"
    DIFFERS = "differs"  # it was there, and stays as it is
    REFUSED = "refused"  # it cannot be here, or its code cannot run
    LEFT = "left"  # it is not taken along, and nobody misses it
    TO_DO = "to do"  # the user's turn


_PLANNED = {Action.CREATED: "would be created", Action.REPLACED: "would be replaced"}
_BAD = (Action.DIFFERS, Action.REFUSED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object. ``note``: why, or what to do."""

    kind: str
    id: str
    action: Action
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All outcomes, in the order in which they came."""

    vendor: str
    dry_run: bool
    outcomes: Sequence[Outcome]

    @property
    def exit(self) -> Exit:
        """FAILED if something stayed behind or differs."""
        return Exit.FAILED if any(outcome.action in _BAD for outcome in self.outcomes) else Exit.OK

    def print_json(self) -> None:
        """Print it for programs."""
        say(
            json.dumps(
                {
                    "vendor": self.vendor,
                    "dryRun": self.dry_run,
                    "counts": {action.value: count for action, count in sorted(self._counts().items())},
                    "outcomes": [asdict(outcome) for outcome in self.outcomes],
                },
                ensure_ascii=False,
                indent=2,
            )
        )

    def print_table(self) -> None:
        """Print it for people; what was there and is equal is only counted."""
        rows = [
            [outcome.kind, outcome.id, self._words(outcome.action), outcome.note]
            for outcome in self.outcomes
            if outcome.action is not Action.SAME or outcome.note
        ]
        if rows:
            print_table(["OBJECT", "ID", "OUTCOME", "NOTE"], rows)
            say()
        counts = self._counts()
        parts: Iterable[str] = (f"{counts[action]} {self._words(action)}" for action in Action if counts[action])
        say(f"{self.vendor}: {', '.join(parts) or 'nothing to import'}.")

    def _counts(self) -> Counter[Action]:
        return Counter(outcome.action for outcome in self.outcomes)

    def _words(self, action: Action) -> str:
        return _PLANNED.get(action, action.value) if self.dry_run else action.value
