"""Where an import goes: one project of one server, through one client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from polycall.cli.client import Client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing.report import Action, Outcome
from polycall.quick import dataclass

__all__ = ["Target"]

_ENDING = (Exit.UNREACHABLE, Exit.DENIED, Exit.INTERRUPTED)  # nothing that follows would fare better


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``overwrite``: replace what is here and differs. ``dry_run``: ask and check, and change nothing.

    ``values`` are those of secrets, by what users call them.
    """

    client: Client
    overwrite: bool
    dry_run: bool
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def value(self, *names: str | None) -> str | None:
        """Return the value of a secret by the first of its names that has one; None if none has."""
        return next((self.values[name] for name in names if name is not None and name in self.values), None)

    def found(self, method: Callable[..., Any], request: Any, *reasons: str) -> Any:
        """Return what is there, None if nothing is, which the server says with one of ``reasons``. Raises Failure."""
        try:
            return self.client.call(method, request)
        except Failure as failure:
            if failure.reason not in reasons:
                raise
            return None

    def refused(self, kind: str, shown: str, failure: Failure) -> Outcome:
        """Return the outcome of an object that the server refused. Raises ``failure`` if it ends the whole import."""
        if failure.code in _ENDING:
            raise failure
        return Outcome(kind, shown, Action.REFUSED, failure.message)
