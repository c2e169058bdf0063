"""What is wrong with a request, as the vendor lists it: ``{"detail": [{type, loc, msg, input?, ctx?}]}``, HTTP 422."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from polycall.errors import FieldViolation, InvalidArgument

__all__ = ["Location", "Problem", "Problems", "Unprocessable"]

# All problems are listed at once; but no request makes an answer of any size: after so many the search ends, and a
# value that is larger is not shown again.
_MOST_PROBLEMS = 1000
_MOST_INPUT_BYTES = 4096

Location = tuple[str | int, ...]


class Problem(msgspec.Struct):
    """One entry of the list. ``input`` is the text of what was sent there, untouched."""

    type: str
    loc: Location
    msg: str
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ctx: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


class Problems:
    """Collects problems, up to a bound."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    @property
    def full(self) -> bool:
        """True once no more are taken."""
        return len(self.found) >= _MOST_PROBLEMS

    def add(self, kind: str, loc: Location, message: str, raw: bytes, ctx: Mapping[str, object] | None = None) -> None:
        """Note one. ``raw``: JSON text of the value that it is about."""
        if not self.full:
            shown = msgspec.Raw(raw) if len(raw) <= _MOST_INPUT_BYTES else msgspec.UNSET
            self.found.append(Problem(kind, loc, message, shown, msgspec.UNSET if ctx is None else dict(ctx)))

    def extend(self, others: Problems) -> None:
        """Note those of another collection."""
        self.found += others.found[: _MOST_PROBLEMS - len(self.found)]


class Unprocessable(InvalidArgument):
    """Raised for a body that is not JSON, not an object, or not what the function's schema asks for."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__([FieldViolation(".".join(map(str, problem.loc)), problem.msg) for problem in problems])
        self.problems = tuple(problems)
